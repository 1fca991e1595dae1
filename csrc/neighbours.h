/* The k nearest of a stream of neighbours, by (distance, id). They gather in a pool of twice as many; when it is full
 * the k nearest are selected and the others dropped, which is a few steps a neighbour whatever k is, where a heap takes
 * log k that miss the cache. */
#ifndef JR_NEIGHBOURS_H
#define JR_NEIGHBOURS_H

#include <stdint.h>
#include <string.h>

#define JR_MANY_NEIGHBOURS 200 /* from here on bytes are counted faster than neighbours are compared */

typedef struct {
    float distance;
    float cosine;
    int64_t id;
} jr_neighbour;

/* Room for the pool of k. */
static inline int64_t jr_pool_size(int64_t k)
{
    return 2 * k + 16;
}

static inline int jr_before(float distance, int64_t id, const jr_neighbour *other)
{
    return distance < other->distance || (distance == other->distance && id < other->id);
}

/* Moves neighbours before the pivot to the front and returns where the pivot comes to stand. No two are equal. The
 * pivot is the median of three places that hang on n alone, so the same data takes the same way. */
static inline int64_t jr_partition(jr_neighbour *pool, int64_t n)
{
    int64_t places[3] = {(int64_t)((uint64_t)n * 2654435761u >> 3) % n, n / 2, n - 1};
    const jr_neighbour *a = &pool[places[0]], *b = &pool[places[1]], *c = &pool[places[2]];
    int ab = jr_before(a->distance, a->id, b), bc = jr_before(b->distance, b->id, c);
    int ac = jr_before(a->distance, a->id, c);
    int64_t middle = ab == bc ? places[1] : ab == ac ? places[2] : places[0];
    jr_neighbour pivot = pool[middle];
    pool[middle] = pool[n - 1];
    int64_t front = 0;
    for (int64_t i = 0; i < n - 1; i++) { /* without a branch on the data, which would be guessed wrong half the time */
        jr_neighbour here = pool[i];
        pool[i] = pool[front];
        pool[front] = here;
        front += jr_before(here.distance, here.id, &pivot);
    }
    pool[n - 1] = pool[front];
    pool[front] = pivot;
    return front;
}

/* Brings the k nearest of n > k to the front, the k-th to place k - 1. */
static inline void jr_select(jr_neighbour *pool, int64_t n, int64_t k)
{
    for (int64_t from = 0, to = n; to - from > 1;) {
        int64_t at = from + jr_partition(pool + from, to - from);
        if (at == k - 1)
            return;
        if (at < k - 1)
            from = at + 1;
        else
            to = at;
    }
}

/* The last of n >= 1. */
static inline jr_neighbour jr_last(const jr_neighbour *pool, int64_t n)
{
    jr_neighbour last = pool[0];
    for (int64_t i = 1; i < n; i++)
        if (jr_before(last.distance, last.id, &pool[i]))
            last = pool[i];
    return last;
}

/* Sorts few neighbours, or those whose distances are equal. */
static inline void jr_sort_by_comparing(jr_neighbour *pool, int64_t n)
{
    while (n > 12) { /* the shorter side by recursion: it is never deeper than log n */
        int64_t at = jr_partition(pool, n), behind = n - at - 1;
        if (at < behind) {
            jr_sort_by_comparing(pool, at);
            pool += at + 1;
            n = behind;
        } else {
            jr_sort_by_comparing(pool + at + 1, behind);
            n = at;
        }
    }
    for (int64_t i = 1; i < n; i++) {
        jr_neighbour here = pool[i];
        int64_t at = i;
        for (; at > 0 && jr_before(here.distance, here.id, &pool[at - 1]); at--)
            pool[at] = pool[at - 1];
        pool[at] = here;
    }
}

/* The bits of a distance, which are in its order: it is not negative. */
static inline uint32_t jr_distance_bits(const jr_neighbour *neighbour)
{
    uint32_t bits;
    memcpy(&bits, &neighbour->distance, sizeof bits);
    return bits;
}

/* Sorts by (distance, id): many by the bytes of their distances, last byte first, then equal ones by id. `other` has
 * room for n. */
static inline void jr_sort(jr_neighbour *pool, int64_t n, jr_neighbour *other)
{
    if (n < JR_MANY_NEIGHBOURS) {
        jr_sort_by_comparing(pool, n);
        return;
    }
    int64_t places[4][256] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int byte = 0; byte < 4; byte++)
            places[byte][jr_distance_bits(&pool[i]) >> 8 * byte & 255]++;
    jr_neighbour *from = pool, *to = other;
    for (int byte = 0; byte < 4; byte++) {
        int64_t *place = places[byte], before = 0;
        if (place[jr_distance_bits(pool) >> 8 * byte & 255] == n)
            continue; /* it is the same in all */
        for (int value = 0; value < 256; value++) {
            int64_t count = place[value];
            place[value] = before;
            before += count;
        }
        for (int64_t i = 0; i < n; i++)
            to[place[jr_distance_bits(&from[i]) >> 8 * byte & 255]++] = from[i];
        jr_neighbour *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != pool)
        memcpy(pool, from, (size_t)n * sizeof *pool);
    for (int64_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && pool[end].distance == pool[first].distance; end++)
            ;
        if (end - first > 1)
            jr_sort_by_comparing(pool + first, end - first);
    }
}

#endif
