/* The search of one query, included once with and once without the popcount instruction (TARGET, NAME). */
#include "multi_index_state.h"

#define BATCH 64

TARGET static int64_t NAME(distance)(const uint8_t *a, const uint8_t *b, int64_t bytes)
{
    int64_t distance = 0, at = 0;
    for (; at + 8 <= bytes; at += 8) {
        uint64_t x, y;
        memcpy(&x, a + at, 8);
        memcpy(&y, b + at, 8);
        distance += __builtin_popcountll(x ^ y);
    }
    for (; at < bytes; at++)
        distance += __builtin_popcount((unsigned)(a[at] ^ b[at]));
    return distance;
}

/* A code that lies in several probed buckets counts in the first of them: table `table` at substring distance
 * `radius` is first if earlier tables differ by more and later ones by no less. */
TARGET static int NAME(is_first)(const jr_multi_index *index, const uint8_t *query, const uint8_t *code, int table,
                                 int radius)
{
    for (int t = 0; t < index->tables; t++) {
        if (t == table)
            continue;
        uint32_t a = jr_substring(query, index->bytes, index->firsts[t], index->firsts[t + 1]);
        uint32_t b = jr_substring(code, index->bytes, index->firsts[t], index->firsts[t + 1]);
        if (__builtin_popcount(a ^ b) < radius + (t < table))
            return 0;
    }
    return 1;
}

/* The codes of some buckets of one table. Returns the number of codes compared, -1 on failure. */
TARGET static int64_t NAME(probe)(jr_index_search *search, int64_t query, int table, int radius,
                                  const uint32_t *values, int count)
{
    const jr_multi_index *index = &search->index;
    jr_index_found *found = &search->found[query];
    const uint8_t *code = search->queries + query * index->bytes;
    const uint32_t *offsets = index->offsets + index->starts[table], *ids = index->ids + table * index->n;
    int64_t compared = 0;
    uint32_t begins[BATCH], ends[BATCH];
    for (int i = 0; i < count; i++)
        __builtin_prefetch(offsets + values[i]);
    for (int i = 0; i < count; i++) {
        begins[i] = offsets[values[i]];
        ends[i] = offsets[values[i] + 1];
        if (begins[i] > ends[i] || ends[i] > index->n) {
            atomic_store(&search->failure, JR_CORRUPT);
            return -1;
        }
        __builtin_prefetch(ids + begins[i]);
    }
    uint32_t candidates[BATCH];
    int waiting = 0, bucket = 0;
    uint32_t at = count ? begins[0] : 0;
    for (;;) {
        /* a batch of candidates is asked for before the first of them is looked at */
        while (waiting < BATCH && bucket < count) {
            if (at >= ends[bucket]) {
                if (++bucket < count)
                    at = begins[bucket];
                continue;
            }
            uint32_t id = ids[at++];
            if (id >= index->n) {
                atomic_store(&search->failure, JR_CORRUPT);
                return -1;
            }
            __builtin_prefetch(index->codes + (int64_t)id * index->bytes);
            candidates[waiting++] = id;
        }
        if (!waiting)
            return compared;
        for (int i = 0; i < waiting; i++) {
            const uint8_t *other = index->codes + (int64_t)candidates[i] * index->bytes;
            int64_t distance = NAME(distance)(code, other, index->bytes);
            uint64_t key = (uint64_t)distance << JR_ID_BITS | candidates[i];
            int enters = search->k ? found->size < search->k || key < found->keys[0] : distance <= search->radius;
            if (enters && NAME(is_first)(index, code, other, table, radius) && !jr_index_keep(search, found, key))
                return -1;
        }
        compared += waiting;
        waiting = 0;
    }
}

/* Substring radius by radius, table by table, until nothing nearer can be left. */
TARGET static void NAME(search_query)(jr_index_search *search, int64_t query)
{
    const jr_multi_index *index = &search->index;
    jr_index_found *found = &search->found[query];
    const uint8_t *code = search->queries + query * index->bytes;
    int64_t spent = 0, compared = 0;
    search->touched[query] = -1;
    for (int radius = 0;; radius++)
        for (int table = 0; table < index->tables; table++) {
            int bits = (int)(index->firsts[table + 1] - index->firsts[table]);
            double probes = 1;
            for (int i = 0; i < radius; i++)
                probes = probes * (bits - i) / (i + 1);
            if ((double)spent + probes > (double)search->budget)
                return;
            spent += (int64_t)probes;
            uint32_t own = jr_substring(code, index->bytes, index->firsts[table], index->firsts[table + 1]);
            uint32_t values[BATCH];
            int waiting = 0;
            /* all words of `bits` bits with `radius` ones, by Gosper's next combination */
            uint64_t flips = (1ull << radius) - 1, end = 1ull << bits;
            while (radius <= bits && flips < end) {
                values[waiting++] = own ^ (uint32_t)flips;
                uint64_t low = flips & -flips, next = flips + low;
                flips = flips ? next | (((next ^ flips) >> 2) / low) : end;
                if (waiting == BATCH || flips >= end) {
                    int64_t seen = NAME(probe)(search, query, table, radius, values, waiting);
                    waiting = 0;
                    compared += seen;
                    if (seen < 0 || (spent += seen) > search->budget)
                        return;
                }
            }
            /* every code not met yet differs by more than this */
            int64_t complete = (int64_t)index->tables * radius + table;
            int64_t wanted = search->radius;
            if (search->k)
                wanted = found->size < search->k ? 8 * index->bytes : (int64_t)(found->keys[0] >> JR_ID_BITS);
            if (complete >= wanted) {
                search->touched[query] = compared;
                return;
            }
        }
}

#undef BATCH
