/* Multi-index hashing: exact Hamming search that looks only into the buckets where a near code can be.
 *
 * The bits of a code are cut into m substrings, and each substring has a table from its value to the codes that
 * have it. Codes within r bits of a query agree with it in some substring up to r / m bits, so probing the values
 * within that radius of the query's own substrings finds them all (Norouzi, Punjani, Fleet: Fast exact search in
 * Hamming space with multi-index hashing, PAMI 2014).
 */
#ifndef JR_MULTI_INDEX_H
#define JR_MULTI_INDEX_H

#include <stdint.h>

#include "thread_pool.h"

#define JR_MAX_SUBSTRING_BITS 24

enum { JR_CORRUPT = 3 }; /* a table points outside the codes */

/* Table t covers bits firsts[t] .. firsts[t + 1] - 1. Its value v has the codes ids[t * n + begin .. end), where
 * begin, end = offsets[starts[t] + v], offsets[starts[t] + v + 1]. */
typedef struct {
    const uint8_t *codes; /* (n, bytes) */
    int64_t n, bytes;
    int tables;
    const int64_t *firsts, *starts; /* (tables + 1,) */
    const uint32_t *offsets;
    const uint32_t *ids; /* (tables, n) */
} jr_multi_index;

/* Fills offsets and ids (the index holds them as const, so they are given again). */
int jr_multi_index_build(const jr_multi_index *index, uint32_t *offsets, uint32_t *ids, int threads,
                         jr_watch watch, void *watcher);

typedef struct jr_index_search jr_index_search;

/* k > 0 looks for the k nearest, k = 0 for all within `radius`. A query that would take more than `budget` probes
 * and comparisons is given up. `popcount` tells whether the CPU has that instruction. */
jr_index_search *jr_index_search_new(const jr_multi_index *index, const uint8_t *queries, int64_t count, int64_t k,
                                     int64_t radius, int64_t budget, int threads, int popcount);

/* Writes into touched (count,) the codes compared for each query, or -1 where it was given up. */
int jr_index_search_run(jr_index_search *search, int64_t *touched, jr_watch watch, void *watcher);

/* The number of results of one query, and its keys in order (key_heap.h); valid until the search is freed. */
int64_t jr_index_search_result(jr_index_search *search, int64_t query, const uint64_t **keys);

void jr_index_search_free(jr_index_search *search);

#endif
