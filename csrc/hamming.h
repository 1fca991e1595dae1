/* Exact search of packed binary codes by Hamming distance: the k nearest, or all within a radius. */
#ifndef JR_HAMMING_H
#define JR_HAMMING_H

#include <stdint.h>

#include "key_heap.h"
#include "thread_pool.h"

/* So that a distance fits beside an id in a key (key_heap.h). */
#define JR_MAX_CODE_BYTES ((int64_t)1 << 20)

typedef struct jr_hamming jr_hamming;

/* `queries` (count, bytes) must outlive the search. k > 0 looks for the k nearest, k = 0 for all within `radius`.
 * `level` must be supported here (cpu_features.h). NULL where there is no memory. */
jr_hamming *jr_hamming_new(const uint8_t *queries, int64_t count, int64_t bytes, int64_t k, int64_t radius,
                           int threads, int level);

/* Searches n codes with ids 0 .. n-1. */
int jr_hamming_search(jr_hamming *search, const uint8_t *codes, int64_t n, jr_watch watch, void *watcher);

/* k nearest: writes (count, k) by (distance, id). */
int jr_hamming_finish(jr_hamming *search, int64_t *ids, float *distances);

/* Within a radius: the number of results of all queries, or -1 where a list could not grow for want of memory. */
int64_t jr_hamming_found(const jr_hamming *search);

/* Within a radius: writes offsets (count + 1), and per query ids and distances by (distance, id). */
int jr_hamming_collect(jr_hamming *search, int64_t *offsets, int64_t *ids, float *distances);

void jr_hamming_free(jr_hamming *search);

#endif
