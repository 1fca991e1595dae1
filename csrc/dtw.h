/* Dynamic time warping between sequences of vectors: sum of squared Euclidean costs, steps (1,0), (0,1), (1,1).
 *
 * A distance is a function of its two sequences alone: it has the same bits at every SIMD level, thread count
 * and block size, in whatever gallery the sequence stands, and with its two arguments exchanged.
 */
#ifndef JR_DTW_H
#define JR_DTW_H

#include <stdint.h>

#include "thread_pool.h"

/* Frames that are worked off together; the summaries below hold one mean for each such segment. */
#define JR_DTW_SEGMENT 8

/* The largest squared norm of a frame. Below it no sum over a path of 2^30 steps overflows a float. */
#define JR_DTW_LARGEST_SQUARE 1e27f

/* A window that forbids nothing. */
#define JR_DTW_NO_WINDOW INT64_MAX

enum jr_dtw_reverse {
    JR_DTW_FORWARD = 0,       /* DTW(a, b) */
    JR_DTW_REVERSE_QUERY = 1, /* min(DTW(a, b), DTW(reversed a, b)) */
};

/* Sequences of vectors, and what jr_dtw_prepare finds out about them. */
typedef struct {
    int64_t count, dimensions;
    const float *const *frames; /* (count) pointers to (length, dimensions) */
    const int64_t *offsets;     /* (count + 1): sequence s has offsets[s + 1] - offsets[s] frames */
    float *squares;             /* (offsets[count]): squared norm of each frame */

    /* For the lower bounds; jr_dtw_distances and jr_dtw_subsequence do not read them. */
    const int64_t *segment_offsets; /* (count + 1): a sequence has ceil(length / JR_DTW_SEGMENT) segments */
    float *centre;                  /* (dimensions): subtracted from all means, against cancellation */
    float *means, *mean_squares;    /* (count, dimensions), (count): mean frame of each sequence */
    float *radii;                   /* (count): largest distance of a frame from the mean of its sequence */
    float *segment_means, *segment_squares; /* the same for segments */
} jr_dtw_sequences;

/* Fills `squares`, and where `centre` is not NULL also the means and radii. `bad` becomes the first sequence
 * with a NaN, an infinity or a frame above JR_DTW_LARGEST_SQUARE (then the status is JR_STOPPED), else -1. */
int jr_dtw_prepare(jr_dtw_sequences *sequences, int threads, int64_t *bad, jr_watch watch, void *watcher);

/* All distances, (queries->count, gallery->count). `order` is a permutation of the gallery, best by length:
 * neighbours in it are worked off together. */
int jr_dtw_distances(int level, const jr_dtw_sequences *queries, const jr_dtw_sequences *gallery,
                     const int64_t *order, int64_t window, int reverse, int threads, float *distances,
                     jr_watch watch, void *watcher);

/* What became of the gallery sequences of one query: the counts add up to the gallery. */
typedef struct {
    int64_t by_mean;     /* ruled out by the mean of the sequence */
    int64_t by_segments; /* ruled out by the means of its segments */
    int64_t abandoned;   /* ruled out part of the way through the dynamic programming */
    int64_t measured;    /* measured to the end */
} jr_dtw_pruning;

/* The k nearest sequences of each query by (distance, id): ids and distances (queries->count, k), pruning
 * (queries->count). With `prune` 0 everything is measured. The gallery must be prepared with its means. */
int jr_dtw_search(int level, const jr_dtw_sequences *queries, const jr_dtw_sequences *gallery, int64_t k,
                  int64_t window, int reverse, int prune, int threads, int64_t *ids, float *distances,
                  jr_dtw_pruning *pruning, jr_watch watch, void *watcher);

/* The distance of sequence 0 of `a` to sequence 0 of `b` and a cheapest path: `path` has room for
 * (frames of a + frames of b - 1, 2), `length` becomes the number of its steps. */
int jr_dtw_path(int level, const jr_dtw_sequences *a, const jr_dtw_sequences *b, int64_t window, float *distance,
                int64_t *path, int64_t *length, jr_watch watch, void *watcher);

typedef struct {
    int64_t start, end; /* frames [start, end) */
    float distance;
} jr_dtw_span;

/* Where in each sequence of `gallery` query 0 lies: up to `count` disjoint spans a sequence, cheapest first;
 * `spans` is (gallery->count, count), unused ones have start -1. */
int jr_dtw_subsequence(int level, const jr_dtw_sequences *query, const jr_dtw_sequences *gallery, int64_t count,
                       int threads, jr_dtw_span *spans, jr_watch watch, void *watcher);

#endif
