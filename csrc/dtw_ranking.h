/* Order among the sequences of a search; private to csrc/dtw*.c. */
#ifndef JR_DTW_RANKING_H
#define JR_DTW_RANKING_H

#include "dtw_levels.h"

typedef struct {
    float bound;
    int64_t id;
} jr_dtw_candidate;

/* For qsort: by (bound, id). */
int jr_dtw_compare_candidates(const void *a, const void *b);

/* Brings the `wanted` first candidates by (bound, id) to the front, in no order. */
void jr_dtw_select_first(jr_dtw_candidate *candidates, int64_t count, int64_t wanted);

/* By length, so that sequences worked off together end together, and then in the order they lie in memory. */
void jr_dtw_sort_by_length(const jr_dtw_sequences *gallery, int64_t *members, int64_t count);

/* The k best so far by (distance, id): a heap, the worst first. */
typedef struct {
    int64_t k, found;
    float *distances;
    int64_t *ids;
} jr_dtw_best;

int jr_dtw_best_new(jr_dtw_best *best, int64_t k);
void jr_dtw_best_free(jr_dtw_best *best);
void jr_dtw_offer(jr_dtw_best *best, float distance, int64_t id);

/* What a distance must not exceed to be among them. */
float jr_dtw_limit(const jr_dtw_best *best);

/* Moves them out, nearest first. */
void jr_dtw_take(jr_dtw_best *best, int64_t *ids, float *distances);

#endif
