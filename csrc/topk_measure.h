/* Exact distances of a query to rows; part of topk_kernel.h. */

/* Sixteen running sums, element i always in sum i mod 16, then a fixed tree: the same bits on every machine. */
INLINE double NAME(tree_sum)(const DOUBLES *sums)
{
    DOUBLES part[ACCUMULATORS];
#pragma GCC unroll 8
    for (int a = 0; a < ACCUMULATORS; a++)
        part[a] = sums[a];
#pragma GCC unroll 4
    for (int width = ACCUMULATORS / 2; width; width /= 2)
#pragma GCC unroll 4
        for (int a = 0; a < width; a++)
            part[a] += part[a + width];
    return LANE_TREE(part[0]);
}

/* Sets the sums of rows to 0. */
INLINE void NAME(clear)(DOUBLES (*sums)[ACCUMULATORS], const int rows)
{
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int a = 0; a < ACCUMULATORS; a++)
            sums[r][a] = (DOUBLES){0};
}

INLINE void NAME(add_squares)(DOUBLES *sums, const float *q, const float *x)
{
#pragma GCC unroll 8
    for (int a = 0; a < ACCUMULATORS; a++) {
        DOUBLES difference = TO_DOUBLES(q + a * DOUBLE_LANES) - TO_DOUBLES(x + a * DOUBLE_LANES);
        sums[a] += difference * difference;
    }
}

/* Squared distances of a query to `rows` rows: the sums of several are independent, so that one need not wait for its
 * last addition. Those in `next` come next. */
INLINE void NAME(squared_distances)(const float *q, const float *const *x, const float *const *next, int64_t d,
                                    const int rows, double *squares)
{
    DOUBLES sums[NEAR_ROWS][ACCUMULATORS];
    int64_t i = 0;
    NAME(clear)(sums, rows);
    for (; i + 16 <= d; i += 16)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch(next[r] + i);
            NAME(add_squares)(sums[r], q + i, x[r] + i);
        }
    if (i < d) {
        float qt[16] = {0}, xt[16] = {0};
        memcpy(qt, q + i, (size_t)(d - i) * sizeof *q);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            memcpy(xt, x[r] + i, (size_t)(d - i) * sizeof *q);
            NAME(add_squares)(sums[r], qt, xt);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        squares[r] = NAME(tree_sum)(sums[r]);
}

/* Products of floats are exact in double: to add them fused or not gives the same bits. */
INLINE void NAME(add_products)(DOUBLES *dots, DOUBLES *squares, const float *q, const float *x)
{
#pragma GCC unroll 8
    for (int a = 0; a < ACCUMULATORS; a++) {
        DOUBLES qv = TO_DOUBLES(q + a * DOUBLE_LANES), xv = TO_DOUBLES(x + a * DOUBLE_LANES);
        dots[a] = MULTIPLY_ADD_DOUBLES(qv, xv, dots[a]);
        squares[a] = MULTIPLY_ADD_DOUBLES(xv, xv, squares[a]);
    }
}

/* Cosines of a query to `rows` rows. */
INLINE void NAME(cosines)(const float *q, double query_square, const float *const *x, const float *const *next,
                          int64_t d, const int rows, double *cosines)
{
    DOUBLES dots[NEAR_COSINES][ACCUMULATORS], squares[NEAR_COSINES][ACCUMULATORS];
    int64_t i = 0;
    NAME(clear)(dots, rows);
    NAME(clear)(squares, rows);
    for (; i + 16 <= d; i += 16)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch(next[r] + i);
            NAME(add_products)(dots[r], squares[r], q + i, x[r] + i);
        }
    if (i < d) {
        float qt[16] = {0}, xt[16] = {0};
        memcpy(qt, q + i, (size_t)(d - i) * sizeof *q);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            memcpy(xt, x[r] + i, (size_t)(d - i) * sizeof *q);
            NAME(add_products)(dots[r], squares[r], qt, xt);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        cosines[r] = jr_topk_cosine(NAME(tree_sum)(dots[r]), query_square, NAME(tree_sum)(squares[r]));
}

/* Offers a row, by its number among the rows at hand, at its distance. */
INLINE void NAME(offer)(jr_topk *search, jr_topk_worker *worker, int64_t query, int64_t row, float distance,
                        float cosine)
{
    const int64_t d = search->dimensions;
    int64_t id = search->first_id + row;
    if (search->ids)
        id = search->ids[id];
    if (!jr_topk_enters(worker, query, distance, id))
        return;
    if (search->metric == JR_PAR) {
        const float *x = search->rows + row * d;
        double value;
        NAME(cosines)(search->queries + query * d, search->query_squares[query], &x, &x, d, 1, &value);
        cosine = (float)value;
    }
    jr_topk_offer(search, worker, query, distance, cosine, id);
}

/* Measures `n` rows exactly, by their numbers among the rows at hand, and offers them. Of those in `next` there are as
 * many. */
INLINE void NAME(measure_rows)(jr_topk *search, jr_topk_worker *worker, int64_t query, const uint32_t *numbers,
                               const uint32_t *next, const int n, const int cosine)
{
    const int64_t d = search->dimensions;
    const float *q = search->queries + query * d, *rows[NEAR_ROWS], *next_rows[NEAR_ROWS];
    double values[NEAR_ROWS];
    for (int r = 0; r < n; r++) {
        rows[r] = search->rows + numbers[r] * d;
        next_rows[r] = search->rows + next[r] * d;
    }
    if (cosine)
        NAME(cosines)(q, search->query_squares[query], rows, next_rows, d, n, values);
    else
        NAME(squared_distances)(q, rows, next_rows, d, n, values);
    for (int r = 0; r < n; r++)
        if (cosine)
            NAME(offer)(search, worker, query, numbers[r], jr_topk_cosine_distance(values[r]), (float)values[r]);
        else
            NAME(offer)(search, worker, query, numbers[r], (float)sqrt(values[r]), 0.0f);
}

TARGET static void NAME(measure)(jr_topk *search, jr_topk_worker *worker, int64_t query, int64_t row)
{
    const uint32_t number = (uint32_t)row;
    if (search->metric == JR_COSINE)
        NAME(measure_rows)(search, worker, query, &number, &number, 1, 1);
    else
        NAME(measure_rows)(search, worker, query, &number, &number, 1, 0);
}

/* Measures candidates exactly, `together` at a time, and offers them. */
INLINE void NAME(measure_in_turn)(jr_topk *search, jr_topk_worker *worker, int64_t query, const uint32_t *rows,
                                  int64_t n, const int together, const int cosine)
{
    int64_t c = 0;
    for (; c + together <= n; c += together)
        NAME(measure_rows)(search, worker, query, rows + c, rows + c + (c + 2 * together <= n ? together : 0),
                           together, cosine);
    for (; c < n; c++)
        NAME(measure)(search, worker, query, rows[c]);
}

TARGET static void NAME(measure_candidates)(jr_topk *search, jr_topk_worker *worker, int64_t query,
                                            const uint32_t *rows, int64_t n)
{
    if (search->metric == JR_COSINE)
        NAME(measure_in_turn)(search, worker, query, rows, n, NEAR_COSINES, 1);
    else
        NAME(measure_in_turn)(search, worker, query, rows, n, NEAR_ROWS, 0);
}
