/* What the driver (topk.c) and the kernels (topk_kernel.h) of the top-k search share. */
#ifndef JR_TOPK_STATE_H
#define JR_TOPK_STATE_H

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "neighbours.h"
#include "topk.h"

/* Gallery rows are copied to scratch in slices of this many dimensions, so that the rows of a panel stand at
 * constant offsets from each other. */
#define JR_SLICE 256
/* Up to this many queries are compared row by row, as the rows lie: that already runs at memory speed. */
#define JR_FEW_QUERIES 4
/* How far ahead of these rows to fetch: more than the prefetchers of processors dare. */
#define JR_PREFETCH_FLOATS 2048

typedef float jr_four __attribute__((vector_size(16)));
typedef int32_t jr_four_flags __attribute__((vector_size(16)));
typedef int64_t jr_two_flags __attribute__((vector_size(16)));

/* One thread's part of the search. */
typedef struct {
    jr_neighbour *pools; /* (count, jr_pool_size(k)): candidates of each query, its k best so far among them */
    int64_t *sizes;      /* (count,): of the pools */
    jr_neighbour *worst; /* (count,): the k-th of the last selection; at infinity before there was one */
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
    double worst = worker->worst[query].distance, reach;
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

/* Drops all but the k nearest of a query's pool, which holds as many at least. */
static inline void jr_topk_select(jr_topk *search, jr_topk_worker *worker, int64_t query)
{
    int64_t k = search->k;
    jr_neighbour *pool = worker->pools + query * jr_pool_size(k);
    jr_select(pool, worker->sizes[query], k);
    worker->sizes[query] = k;
    worker->worst[query] = pool[k - 1];
    worker->limits[query] = jr_topk_limit(search, worker, query);
}

static inline void jr_topk_offer(jr_topk *search, jr_topk_worker *worker, int64_t query, float distance, float cosine,
                                 int64_t id)
{
    int64_t room = jr_pool_size(search->k), size = worker->sizes[query]++;
    worker->pools[query * room + size] = (jr_neighbour){distance, cosine, id};
    if (size + 1 == room || (size + 1 == search->k && isinf(worker->worst[query].distance)))
        jr_topk_select(search, worker, query);
}

/* Whether a pair of this distance may be among the k nearest. */
static inline int jr_topk_enters(const jr_topk_worker *worker, int64_t query, float distance, int64_t id)
{
    return jr_before(distance, id, &worker->worst[query]);
}

/* Remembers the first row found to hold a number that is not finite. */
static inline void jr_topk_report_bad(jr_topk *search, int64_t row)
{
    long long known = atomic_load(&search->bad_row);
    while ((known < 0 || row < known) && !atomic_compare_exchange_weak(&search->bad_row, &known, row))
        ;
}

#endif
