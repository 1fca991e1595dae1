/* What the driver (topk.c) and the kernels (topk_kernel.h) of the top-k search share. */
#ifndef JR_TOPK_STATE_H
#define JR_TOPK_STATE_H

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "topk.h"

/* Gallery rows are copied to scratch in slices of this many dimensions, so that the rows of a panel stand at
 * constant offsets from each other. */
#define JR_SLICE 256
/* Up to this many queries are compared row by row, as the rows lie: that already runs at memory speed. */
#define JR_FEW_QUERIES 4

typedef struct {
    float distance;
    float cosine;
    int64_t id;
} jr_neighbour;

/* One thread's part of the search: for each query a max-heap of its k best by (distance, id) so far. */
typedef struct {
    jr_neighbour *heaps; /* (count, k) */
    int64_t *sizes;      /* (count,) */
    float *limits;       /* (padded count,): a pair whose score in float32 is > limit cannot enter; NaN lets all in */
    float *scratch;      /* (panels, slices, panel_rows, JR_SLICE): centred rows */
    float *biases;       /* (block rows, padded to panels) */
} jr_topk_worker;

typedef void (*jr_topk_block)(jr_topk *search, jr_topk_worker *worker, const float *rows, int64_t n,
                              int64_t first_id);

typedef struct {
    int panel_rows; /* rows of the gallery that one pass of the product holds in registers */
    int lanes;      /* queries in a vector */
    jr_topk_block block;
} jr_topk_kernel;

struct jr_topk {
    const float *queries;
    int64_t count, dimensions, k;
    int metric, threads;
    jr_topk_kernel kernel;
    int64_t block_rows;    /* rows of one task */
    int64_t padded;        /* count, up to a multiple of lanes */
    float *centre;         /* (dimensions,), NULL until the first rows are seen */
    float *packed;         /* (padded / lanes, dimensions, lanes): centred queries */
    double *query_squares; /* (count,): exact squared norms of the queries, for the cosine */
    double *packed_squares; /* (count,): squared norms of the centred queries */
    double slack;          /* the relative error bound e of the product, see jr_topk_limit */
    jr_topk_worker *workers;
    /* the rows at hand */
    const float *rows;
    int64_t n, first_id;
    const int64_t *ids; /* what results call a row, by its number; NULL: its number */
    atomic_llong bad_row;
};

static inline int jr_before(float distance, int64_t id, const jr_neighbour *other)
{
    return distance < other->distance || (distance == other->distance && id < other->id);
}

/* The limit of one query.
 *
 * Many queries: with Q, X the squared norms of the centred query and row, p their float32 product and e >= its
 * relative error (topk.c), D^2 <= T implies X(1/2 - e) - p <= T/2 - Q(1/2 - e).
 * Few queries: a bound on the float32 sum of squared differences, whose relative error is below e, or on the
 * float32 value of 1 - cosine, whose absolute error is below e. */
static inline float jr_topk_limit(const jr_topk *search, const jr_topk_worker *worker, int64_t query)
{
    const int few = search->count <= JR_FEW_QUERIES;
    const double slack = search->slack;
    double square = search->packed_squares[query];
    if (!(square < 1e30) || !(slack < 0.25))
        return NAN;
    if (search->metric == JR_COSINE && search->query_squares[query] == 0.0)
        return NAN;
    if (worker->sizes[query] < search->k)
        return INFINITY;
    double worst = worker->heaps[query * search->k].distance, reach;
    if (isinf(worst))
        return INFINITY;
    if (few && search->metric == JR_COSINE)
        return (float)(worst * (1.0 + 0x1p-22) + 0x1p-39 + slack);
    if (search->metric == JR_COSINE)
        /* unit vectors: D^2 = 2 (1 - cosine); 2^-39 covers the grid of the reported distance, 2^-20 the
         * rounding of both unit vectors and of their centring */
        reach = sqrt(2.0 * (worst * (1.0 + 0x1p-22) + 0x1p-39)) + 0x1p-20;
    else
        reach = worst * (1.0 + 0x1p-22) + 0x1p-149;
    double underflow = (double)(search->dimensions + 16) * 0x1p-126;
    double squared = reach * reach * (1.0 + 0x1p-20);
    if (few)
        return (float)(squared * (1.0 + slack) + underflow);
    return (float)(0.5 * squared - square * (0.5 - slack) + underflow);
}

static inline void jr_topk_offer(jr_topk *search, jr_topk_worker *worker, int64_t query, float distance, float cosine,
                                 int64_t id)
{
    int64_t k = search->k, size = worker->sizes[query];
    jr_neighbour *heap = worker->heaps + query * k;
    int64_t at;
    if (size < k) {
        at = size;
        worker->sizes[query] = size + 1;
        while (at > 0) { /* sift up */
            int64_t parent = (at - 1) / 2;
            if (!jr_before(heap[parent].distance, heap[parent].id, &(jr_neighbour){distance, cosine, id}))
                break;
            heap[at] = heap[parent];
            at = parent;
        }
    } else {
        at = 0;
        for (;;) { /* replace the worst, sift down */
            int64_t child = 2 * at + 1;
            if (child >= k)
                break;
            if (child + 1 < k && jr_before(heap[child].distance, heap[child].id, &heap[child + 1]))
                child++;
            if (!jr_before(distance, id, &heap[child]))
                break;
            heap[at] = heap[child];
            at = child;
        }
    }
    heap[at] = (jr_neighbour){distance, cosine, id};
    if (worker->sizes[query] == k)
        worker->limits[query] = jr_topk_limit(search, worker, query);
}

/* Whether a pair of this distance enters the query's heap. */
static inline int jr_topk_enters(const jr_topk *search, const jr_topk_worker *worker, int64_t query, float distance,
                                 int64_t id)
{
    return worker->sizes[query] < search->k || jr_before(distance, id, worker->heaps + query * search->k);
}

/* Remembers the first row found to hold a number that is not finite. */
static inline void jr_topk_report_bad(jr_topk *search, int64_t row)
{
    long long known = atomic_load(&search->bad_row);
    while ((known < 0 || row < known) && !atomic_compare_exchange_weak(&search->bad_row, &known, row))
        ;
}

#endif
