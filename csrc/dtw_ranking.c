/* Order among the sequences of a search: best-first, the k best so far, and by length. */
#include "dtw_ranking.h"

static int before(const jr_dtw_candidate *a, const jr_dtw_candidate *b)
{
    return a->bound < b->bound || (a->bound == b->bound && a->id < b->id);
}

int jr_dtw_compare_candidates(const void *a, const void *b)
{
    return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

/* Quickselect with the median of three. */
void jr_dtw_select_first(jr_dtw_candidate *c, int64_t count, int64_t wanted)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        jr_dtw_candidate x = c[low], y = c[low + (high - low) / 2], z = c[high];
        jr_dtw_candidate pivot = before(&x, &y) ? (before(&y, &z) ? y : before(&x, &z) ? z : x)
                                         : (before(&x, &z) ? x : before(&y, &z) ? z : y);
        int64_t i = low, j = high;
        while (i <= j) {
            while (before(&c[i], &pivot))
                i++;
            while (before(&pivot, &c[j]))
                j--;
            if (i <= j) {
                jr_dtw_candidate kept = c[i];
                c[i++] = c[j];
                c[j--] = kept;
            }
        }
        if (wanted <= j + 1)
            high = j;
        else if (wanted > i)
            low = i;
        else
            return;
    }
}

#define ID_BITS 34 /* more sequences than pointers to them fit into memory; lengths have 30 bits */

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void jr_dtw_sort_by_length(const jr_dtw_sequences *gallery, int64_t *members, int64_t count)
{
    uint64_t *keys = (uint64_t *)members;
    for (int64_t i = 0; i < count; i++)
        keys[i] = (uint64_t)jr_dtw_length(gallery, members[i]) << ID_BITS | (uint64_t)members[i];
    qsort(keys, (size_t)count, sizeof *keys, compare_keys);
    for (int64_t i = 0; i < count; i++)
        members[i] = (int64_t)(keys[i] & (((uint64_t)1 << ID_BITS) - 1));
}

/* ---- the k best ---- */

int jr_dtw_best_new(jr_dtw_best *best, int64_t k)
{
    best->k = k;
    best->found = 0;
    best->distances = malloc((size_t)k * sizeof *best->distances);
    best->ids = malloc((size_t)k * sizeof *best->ids);
    return best->distances && best->ids ? JR_OK : JR_NO_MEMORY;
}

void jr_dtw_best_free(jr_dtw_best *best)
{
    free(best->distances);
    free(best->ids);
}

float jr_dtw_limit(const jr_dtw_best *best) { return best->found < best->k ? INFINITY : best->distances[0]; }

static int worse(const jr_dtw_best *best, int64_t a, int64_t b)
{
    return best->distances[a] > best->distances[b]
        || (best->distances[a] == best->distances[b] && best->ids[a] > best->ids[b]);
}

static void exchange(jr_dtw_best *best, int64_t a, int64_t b)
{
    float distance = best->distances[a];
    int64_t id = best->ids[a];
    best->distances[a] = best->distances[b];
    best->ids[a] = best->ids[b];
    best->distances[b] = distance;
    best->ids[b] = id;
}

static void sift_down(jr_dtw_best *best, int64_t size)
{
    for (int64_t at = 0, child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && worse(best, child + 1, child))
            child++;
        if (!worse(best, child, at))
            return;
        exchange(best, at, child);
    }
}

void jr_dtw_offer(jr_dtw_best *best, float distance, int64_t id)
{
    if (best->found < best->k) {
        int64_t at = best->found++;
        best->distances[at] = distance;
        best->ids[at] = id;
        for (; at > 0 && worse(best, at, (at - 1) / 2); at = (at - 1) / 2)
            exchange(best, at, (at - 1) / 2);
    } else if (distance < best->distances[0] || (distance == best->distances[0] && id < best->ids[0])) {
        best->distances[0] = distance;
        best->ids[0] = id;
        sift_down(best, best->found);
    }
}

void jr_dtw_take(jr_dtw_best *best, int64_t *ids, float *distances)
{
    for (int64_t size = best->found; size > 1; size--) { /* heap sort */
        exchange(best, 0, size - 1);
        sift_down(best, size - 1);
    }
    memcpy(ids, best->ids, (size_t)best->found * sizeof *ids);
    memcpy(distances, best->distances, (size_t)best->found * sizeof *distances);
    best->found = 0;
}
