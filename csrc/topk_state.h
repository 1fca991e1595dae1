/* What the driver (topk.c) and the kernels (topk_kernel.h) of the top-k search share. */
#ifndef JR_TOPK_STATE_H
#define JR_TOPK_STATE_H

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "candidates.h"
#include "neighbours.h"
#include "topk.h"
#include "topk_four.h"

/* Gallery rows are copied to scratch in slices of this many dimensions, so that the rows of a panel stand at
 * constant offsets from each other. */
#define JR_SLICE 256
/* Up to this many queries are compared row by row, as the rows lie: that already runs at memory speed. */
#define JR_FEW_QUERIES 4
/* Rows whose rough distances to few queries are looked at together: a bit each in a word. */
#define JR_ROUGH_ROWS 64
/* Rows among which candidates of many queries are measured in turn, in floats: what the L2 cache holds beside them. */
#define JR_WINDOW_FLOATS 65536
/* How far ahead of rows of up to JR_SHORT_ROW floats to fetch, in floats: more than the prefetchers of processors dare,
 * and past the four rows at hand where they and the next four fit in the L1 cache. Of longer rows `row_ahead` says how
 * far ahead in the row. */
#define JR_SHORT_ROW 768
#define JR_PREFETCH_FLOATS(d) ((d) > 512 ? 4096 : 2048)

/* Some of a query's candidates, whose rows ascend: they stand at `at` to before `end`. */
typedef struct {
    int64_t at, end;
} jr_topk_run;

/* A query whose distances come from products (topk_products.h). */
typedef struct {
    const double *values; /* (jr_padded_dimensions,): q', and zeros */
    double square;        /* Q' + 2 q'c, where c is the centre */
    double error;         /* what E is without the row's part */
} jr_topk_centred_query;

/* One thread's part of the search. */
typedef struct {
    float *scores;   /* (count, jr_candidate_room(k)): of the candidates among the rows at hand, not measured yet */
    uint32_t *rows;  /* as many: the numbers of their rows */
    int64_t *counts; /* (count,): of the candidates */
    float *all_scores;    /* (threads * jr_candidate_room(k)): one query's of all threads */
    uint32_t *group_rows; /* (group, threads * jr_candidate_room(k)): of the candidates that are left */
    jr_topk_run *group_runs; /* (group, threads): those of each thread among them */
    jr_topk_centred_query *centred; /* (group,) */
    double *centred_values; /* (group, jr_padded_dimensions) */
    jr_neighbour *pools; /* (count, jr_pool_size(k)): measured pairs of each query, its k best so far among them */
    int64_t *sizes;      /* (count,): of the pools */
    jr_neighbour *worst; /* (count,): the k-th of the last selection; at infinity before there was one */
    float *limits;       /* (padded count,): a pair whose score in float32 is > limit cannot enter; NaN lets all in */
    float *scratch;      /* (panels, slices, panel_rows, JR_SLICE): centred rows */
    float *biases;       /* (block rows, padded to panels) */
} jr_topk_worker;

typedef struct {
    int panel_rows; /* rows of the gallery that one pass of the product holds in registers */
    int lanes;      /* queries in a vector */
    /* looks for candidates among the rows at hand from `row` to before `end` */
    void (*block)(jr_topk *search, jr_topk_worker *worker, int64_t row, int64_t end);
    /* measures the candidates of the queries from `query` to before `end`, at most a group */
    void (*settle)(jr_topk *search, jr_topk_worker *worker, int64_t query, int64_t end);
} jr_topk_kernel;

struct jr_topk {
    const float *queries;
    int64_t count, dimensions, k;
    int metric, threads;
    jr_topk_kernel kernel;
    int64_t row_ahead;     /* floats of a long row between the number at hand and what is fetched */
    int64_t block_rows;    /* rows of one task */
    int64_t padded;        /* count, up to a multiple of lanes */
    int64_t group;         /* queries whose candidates are measured by one task */
    float *centre;         /* (dimensions,), NULL until the first rows are seen */
    float *packed;         /* (padded / lanes, dimensions, lanes): centred queries */
    double *query_squares; /* (count,): exact squared norms of the queries, for the cosine */
    double *packed_squares; /* (count,): squared norms of the centred queries */
    double slack;          /* the relative error bound e of the product, see jr_topk_limit */
    jr_topk_worker *workers;
    int64_t seen;          /* rows searched before those at hand */
    double *all_row_squares; /* (row_room,): what row_squares points to */
    int64_t row_room;
    /* the rows at hand */
    const float *rows;
    int64_t n, first_id;
    double *row_squares; /* (n,): squared norms in double, centred but for the cosine; NULL: measure pairs singly */
    const int64_t *ids; /* what results call a row, by its number; NULL: its number */
    atomic_llong bad_row;
};

/* Dimensions up to whole steps of the exact sums (topk_measure.h). */
static inline int64_t jr_padded_dimensions(const jr_topk *search)
{
    return (search->dimensions + 15) / 16 * 16;
}

/* The error of unit vectors: 2^-20 for the rounding of both and of their centring, and the error of a squared length
 * in float32, whose additions are shared by four lanes at least. */
static inline double jr_topk_unit_error(const jr_topk *search)
{
    return 0x1p-20 + (double)(search->dimensions / 8 + 8) * 0x1p-24;
}

/* What sums of products may lose to underflow. */
static inline double jr_topk_underflow(const jr_topk *search)
{
    return (double)(search->dimensions + 16) * 0x1p-126;
}

/* The score that a pair within a distance of `worst` cannot exceed.
 *
 * Many queries: with Q, X the squared norms of the centred query and row, p their float32 product and e >= its
 * relative error (topk.c), D^2 <= T implies X(1/2 - e) - p <= T/2 - Q(1/2 - e).
 * Few queries: a bound on the float32 sum of squared differences, whose relative error is below e, or on the
 * float32 value of 1 - cosine, whose absolute error is below e. */
static inline float jr_topk_limit(const jr_topk *search, int64_t query, double worst)
{
    const int few = search->count <= JR_FEW_QUERIES;
    const double slack = search->slack;
    double square = search->packed_squares[query], reach;
    if (!(square < 1e30) || !(slack < 0.05))
        return NAN;
    if (search->metric == JR_COSINE && search->query_squares[query] == 0.0)
        return NAN;
    if (isinf(worst))
        return INFINITY;
    if (few && search->metric == JR_COSINE)
        return (float)(worst * (1.0 + 0x1p-22) + 0x1p-39 + slack);
    if (search->metric == JR_COSINE)
        /* unit vectors: D^2 = 2 (1 - cosine); 2^-39 covers the grid of the reported distance */
        reach = sqrt(2.0 * (worst * (1.0 + 0x1p-22) + 0x1p-39)) + jr_topk_unit_error(search);
    else
        reach = worst * (1.0 + 0x1p-22) + 0x1p-149;
    double squared = reach * reach * (1.0 + 0x1p-20);
    if (few)
        return (float)(squared * (1.0 + slack) + jr_topk_underflow(search));
    return (float)(0.5 * squared - square * (0.5 - slack) + jr_topk_underflow(search));
}

/* The distance that a pair with this score cannot exceed.
 *
 * Many queries: a score s is at least D^2/2 - Q/2 - e Q - 2 e X, and sqrt(X) <= sqrt(Q) + D, so X <= 2 Q + 2 D^2;
 * therefore D^2 (1 - 8 e) <= 2 s + Q (1 + 10 e). */
static inline double jr_topk_farthest(const jr_topk *search, int64_t query, float score)
{
    const double slack = search->slack, square = search->packed_squares[query];
    const double underflow = jr_topk_underflow(search);
    if (search->count <= JR_FEW_QUERIES)
        return search->metric == JR_COSINE ? score + slack : sqrt((score + underflow) / (1.0 - slack));
    double squared = (2.0 * (score + underflow) + square * (1.0 + 10.0 * slack)) / (1.0 - 8.0 * slack);
    double distance = sqrt(squared > 0 ? squared : 0);
    if (search->metric != JR_COSINE)
        return distance;
    distance += jr_topk_unit_error(search);
    return 0.5 * distance * distance;
}

/* The relative error of a squared distance that is made of products: |D^2 - (X' + Q' + 2 q'c - 2 q'x)| as computed, and
 * |D^2 - the sum of squared differences| as computed, are together below this times X' + Q' + 2 |q'||c|. With u = 2^-53,
 * no sum of d terms errs by more than d u of its terms, |q'||x| is at most |q'||x'| + |q'||c|, and D^2 at most
 * 2 X' + 2 Q'; that comes to less than half. */
static inline double jr_topk_product_slack(const jr_topk *search)
{
    return (double)(4 * search->dimensions + 128) * 0x1p-53;
}

static inline double jr_topk_cosine(double product, double query_square, double row_square)
{
    double cosine = row_square == 0.0 || query_square == 0.0 ? 0.0 : product / sqrt(query_square * row_square);
    return cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
}

/* As it is reported: a grid of 2^-40 keeps rounding from telling scaled copies of one vector apart. */
static inline float jr_topk_cosine_distance(double cosine)
{
    return (float)(rint((1.0 - cosine) * 0x1p40) * 0x1p-40);
}

/* Lowers the limit of a query to what k neighbours within `worst` leave; a NaN stays. */
static inline void jr_topk_lower_limit(const jr_topk *search, jr_topk_worker *worker, int64_t query, double worst)
{
    float limit = jr_topk_limit(search, query, worst);
    if (limit < worker->limits[query])
        worker->limits[query] = limit;
}

/* Drops all but the k nearest of a query's pool, which holds as many at least. */
static inline void jr_topk_select(jr_topk *search, jr_topk_worker *worker, int64_t query)
{
    int64_t k = search->k;
    jr_neighbour *pool = worker->pools + query * jr_pool_size(k);
    jr_select(pool, worker->sizes[query], k);
    worker->sizes[query] = k;
    worker->worst[query] = pool[k - 1];
    jr_topk_lower_limit(search, worker, query, worker->worst[query].distance);
}

static inline void jr_topk_offer(jr_topk *search, jr_topk_worker *worker, int64_t query, float distance, float cosine,
                                 int64_t id)
{
    int64_t room = jr_pool_size(search->k), size = worker->sizes[query]++;
    worker->pools[query * room + size] = (jr_neighbour){distance, cosine, id};
    if (size + 1 == room) {
        jr_topk_select(search, worker, query);
    } else if (size + 1 == search->k && isinf(worker->worst[query].distance)) {
        worker->worst[query] = jr_last(worker->pools + query * room, size + 1);
        jr_topk_lower_limit(search, worker, query, worker->worst[query].distance);
    }
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
