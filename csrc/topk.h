/* Exact k nearest vectors by Euclidean distance or cosine, gallery read once, distances never stored.
 *
 * A matrix product in float32 with a proven error bound says which pairs could still enter a query's k best;
 * only those are measured, in double and in one fixed order of additions. So the results are exact, also for
 * neighbours that lie close together far from the origin, and have the same bits at every SIMD level, thread
 * count and block size.
 */
#ifndef JR_TOPK_H
#define JR_TOPK_H

#include <stdint.h>

#include "thread_pool.h"

enum jr_metric {
    JR_EUCLIDEAN = 0, /* sqrt(sum (q - x)^2) */
    JR_COSINE = 1,    /* 1 - cosine; a zero vector has cosine 0 to everything */
    JR_PAR = 2,       /* Euclidean, and the cosine of each result */
};

typedef struct jr_topk jr_topk;

/* `queries` (count, dimensions) must outlive the search. `level` must be supported here (cpu_features.h).
 * NULL where there is no memory. */
jr_topk *jr_topk_new(const float *queries, int64_t count, int64_t dimensions, int64_t k, int metric, int threads,
                     int level);

/* Searches `n` more rows, whose ids are first_id, first_id + 1, ...
 * `bad_row` becomes the first row found to hold a NaN or an infinity (then JR_STOPPED), else -1. */
int jr_topk_add(jr_topk *search, const float *rows, int64_t n, int64_t first_id, jr_watch watch, void *watcher,
                int64_t *bad_row);

/* Writes (count, k) results by (distance, id); missing ones as id -1, distance inf, cosine -inf.
 * `cosines` may be NULL. */
int jr_topk_finish(jr_topk *search, int64_t *ids, float *distances, float *cosines);

void jr_topk_free(jr_topk *search);

#endif
