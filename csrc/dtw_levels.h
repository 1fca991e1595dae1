/* What the instruction sets of the DTW kernels have in common; private to csrc/dtw*.c. */
#ifndef JR_DTW_LEVELS_H
#define JR_DTW_LEVELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_features.h"
#include "dtw.h"
#include "status.h"

#define JR_DTW_MAX_LANES 16
#define JR_DTW_MAX_ROWS 8
#define JR_DTW_DEPTH 128 /* dimensions summed up before the sum joins the total: fits a cache, and rounds less */

/* A squared distance taken from the matrix product is off by some 1e-7 of the squared norms. Where less than this
 * share of them is left, the distance is summed up from the differences instead. So frames that lie close
 * together far from the origin come out right, and equal ones exactly 0. */
#define JR_DTW_CANCELLED 0x1p-7f

/* Up to this many queries are measured together: any three fill whole tiles of three vectors. */
#define JR_DTW_TOGETHER 3

/* Frames of queries as the kernels read them: vectors of `lanes` frames, dimension by dimension. */
typedef struct {
    int64_t dimensions, queries;
    int64_t vectors, width;           /* of all queries, and that times lanes */
    int64_t frames[JR_DTW_TOGETHER];  /* of each query */
    int64_t first[JR_DTW_TOGETHER + 1]; /* vector: query q has those from first[q] to first[q + 1] */
    float *packed;                    /* (vectors, dimensions, lanes), zeros past a query's last frame */
    float *squares;                   /* (width), ones past a query's last frame */
} jr_dtw_panel;

/* Memory of one worker, for queries of up to `frames` frames. */
typedef struct {
    void *memory;
    float *costs;                /* (rows, width) */
    float *turned;               /* four rows of them with the sequences in lanes: (4, frames + slack, lanes) */
    float *forward, *backward;   /* (width + slack, lanes): the last row of each query's dynamic programming */
    const float **rows;          /* (rows) frames whose costs are wanted */
    float *row_squares;          /* (rows) */
} jr_dtw_scratch;

/* One group of at most `lanes` sequences to be measured. */
typedef struct {
    const jr_dtw_sequences *gallery;
    const int64_t *members;
    int count;
    int64_t window;
    int reverse;
    float limit;             /* what is certain to lie above it may be given up, and is then infinite; one query */
    const float *const *rest; /* per member, per segment: a bound on the cost of the segments behind it; or NULL */
} jr_dtw_group;

typedef struct {
    int lanes;
    void (*pack)(const float *frames, int64_t count, int64_t dimensions, float *packed);
    /* Squared distances of `count` rows to vectors [first, last) of a panel, or products where `row_squares` is
     * NULL: out is (count, width). `rows`, `row_squares` and `out` have room for JR_DTW_MAX_ROWS - 1 more. */
    void (*costs)(const jr_dtw_panel *panel, const float **rows, float *row_squares, int64_t count, int64_t first,
                  int64_t last, float *out);
    /* distances: (queries of the panel, JR_DTW_MAX_LANES) */
    void (*group)(const jr_dtw_panel *panel, const jr_dtw_group *group, jr_dtw_scratch *scratch, float *distances);
    /* Of each row of products (count, width): the sum over the first `frames`, and the least of along - product. */
    void (*extremes)(const float *products, int64_t width, int64_t frames, const float *along, int64_t count,
                     float *sums, float *least);
} jr_dtw_level;

extern const jr_dtw_level jr_dtw_portable;
#ifdef JR_X86
extern const jr_dtw_level jr_dtw_avx2, jr_dtw_avx512;
#endif
#ifdef JR_ARM64
extern const jr_dtw_level jr_dtw_neon;
#endif

const jr_dtw_level *jr_dtw_level_of(int level);

/* 64-byte aligned and zeroed; NULL where there is no memory. Freed with free(). */
void *jr_dtw_allocate(size_t bytes);

/* Room for panels of up to `vectors` vectors. */
int jr_dtw_scratch_new(jr_dtw_scratch *scratch, const jr_dtw_level *level, int64_t vectors);
void jr_dtw_scratch_free(jr_dtw_scratch *scratch);

/* The vectors that the longest of these queries needs. */
int64_t jr_dtw_vectors(const jr_dtw_level *level, int64_t frames);

/* An empty panel with room for `vectors` vectors; then queries are added, up to JR_DTW_TOGETHER. */
int jr_dtw_panel_new(jr_dtw_panel *panel, const jr_dtw_level *level, int64_t vectors, int64_t dimensions);
void jr_dtw_panel_clear(jr_dtw_panel *panel);
void jr_dtw_panel_add(jr_dtw_panel *panel, const jr_dtw_level *level, const float *frames, const float *squares,
                      int64_t count);
void jr_dtw_panel_free(jr_dtw_panel *panel);

/* Allowed are the cells (i, j) with lowest <= i - j <= highest: at most `window` off the diagonals through the
 * two corners, so that reversing both sequences changes nothing and every window connects the corners. */
typedef struct {
    int64_t lowest, highest;
} jr_dtw_band;

static inline jr_dtw_band jr_dtw_band_of(int64_t a_frames, int64_t b_frames, int64_t window)
{
    /* Lengths are below 2^30, so a wider window forbids nothing. */
    int64_t w = window < ((int64_t)1 << 30) ? window : ((int64_t)1 << 30), d = a_frames - b_frames;
    return (jr_dtw_band){(d < 0 ? d : 0) - w, (d > 0 ? d : 0) + w};
}

static inline int64_t jr_dtw_length(const jr_dtw_sequences *s, int64_t i) { return s->offsets[i + 1] - s->offsets[i]; }

int64_t jr_dtw_longest(const jr_dtw_sequences *sequences);

/* How many gallery sequences one task measures: at most `most`, a multiple of all lanes, and few enough that the
 * watch is asked often. */
int64_t jr_dtw_block(int64_t most, int64_t frames, const jr_dtw_sequences *gallery);

/* The squared norm of a frame, the same bits on every machine. */
float jr_dtw_square(const float *x, int64_t dimensions);

/* ---- lower bounds (dtw_bounds.c) ---- */

/* A query as the bounds see it: its frames less the gallery's centre. */
typedef struct {
    jr_dtw_panel panel;
    double *mean;        /* (dimensions) */
    float *frames;       /* (frames, dimensions) */
    float *squares;      /* (frames) */
    float *along_mean;   /* (frames): mean frame times frame */
    double mean_square, largest; /* squared norm of the mean frame, largest norm of a frame */
    double rounding;     /* of a product, as a share of the product of the norms */
} jr_dtw_bounds;

#define JR_DTW_BOUND_ROWS 256

int jr_dtw_bounds_new(jr_dtw_bounds *bounds, const jr_dtw_level *level, int64_t frames, int64_t dimensions);
void jr_dtw_bounds_fill(jr_dtw_bounds *bounds, const jr_dtw_level *level, const float *frames, int64_t count,
                        const float *centre);
void jr_dtw_bounds_free(jr_dtw_bounds *bounds);

/* For `count` means: gaps[r] is at most the distance of means[r] to the convex hull of the query's frames. Where
 * `radii` is not NULL, balls[r] is at most the sum over the query's frames of the squared distance to the ball
 * around means[r]. `rows` and `products` are the caller's, so that threads can share the rest. */
void jr_dtw_bound_means(const jr_dtw_bounds *bounds, const jr_dtw_level *level, const float *const *means,
                        const float *squares, const float *radii, int64_t count, const float **rows, float *products,
                        float *gaps, float *balls);

#endif
