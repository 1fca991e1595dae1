/* Exact distances of many queries to the same rows, from products in double; part of topk_kernel.h.
 *
 * Where queries have more candidates than there are rows, the rows are read in windows that the caches hold, by a group
 * of queries in turn, and |q - x|^2 comes from q'x, with q' and x' centred at c: X' + Q' + 2 q'c - 2 q'x, of which only
 * the last term is one of the pair. It is rounded otherwise than the sum of squared differences that defines the
 * distance, but both lie within E of the true value (jr_topk_product_error): where all of that interval rounds to one
 * float32, this is the distance. Elsewhere, one pair in a hundred thousand, the differences are summed up.
 *
 * A cosine needs no interval: products of floats are exact, and are added here in the order that defines it. */

/* The squared norm of a row, centred but for the cosine, in sixteen sums. */
TARGET static double NAME(row_square)(const jr_topk *search, const float *x)
{
    const int64_t d = search->dimensions;
    const int centred = search->metric != JR_COSINE;
    DOUBLES sums[ACCUMULATORS] = {{0}};
    for (int64_t i = 0; i < d; i += 16) {
        float tail[16] = {0}, none[16] = {0};
        const float *part = x + i, *centre = centred ? search->centre + i : none; /* which is padded with zeros */
        if (i + 16 > d)
            part = memcpy(tail, part, (size_t)(d - i) * sizeof *x);
#pragma GCC unroll 8
        for (int a = 0; a < ACCUMULATORS; a++) {
            const DOUBLES value = TO_DOUBLES(part + a * DOUBLE_LANES) - TO_DOUBLES(centre + a * DOUBLE_LANES);
            sums[a] = MULTIPLY_ADD_DOUBLES(value, value, sums[a]);
        }
    }
    return NAME(tree_sum)(sums);
}

INLINE void NAME(add_centred)(DOUBLES *sums, const double *q, const float *x)
{
#pragma GCC unroll 8
    for (int a = 0; a < ACCUMULATORS; a++)
        sums[a] = MULTIPLY_ADD_DOUBLES(*(const DOUBLES *)(q + a * DOUBLE_LANES), TO_DOUBLES(x + a * DOUBLE_LANES),
                                       sums[a]);
}

/* Products of a query in double with `rows` rows. Those in `next` come next. */
INLINE void NAME(products)(const double *q, const float *const *x, const float *const *next, int64_t d, const int rows,
                           double *products)
{
    DOUBLES sums[NEAR_ROWS][ACCUMULATORS];
    int64_t i = 0;
    NAME(clear)(sums, rows);
    for (; i + 16 <= d; i += 16)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            __builtin_prefetch(next[r] + i);
            NAME(add_centred)(sums[r], q + i, x[r] + i);
        }
    if (i < d) {
        float tail[16] = {0};
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            memcpy(tail, x[r] + i, (size_t)(d - i) * sizeof *tail);
            NAME(add_centred)(sums[r], q + i, tail);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        products[r] = NAME(tree_sum)(sums[r]);
}

/* Measures `n` rows of a query by their products, and offers them. Of those in `next` there are as many. */
INLINE void NAME(measure_products)(jr_topk *search, jr_topk_worker *worker, int64_t query,
                                   const jr_topk_centred_query *centred, const uint32_t *numbers,
                                   const uint32_t *next, const int n)
{
    const double slack = jr_topk_product_slack(search);
    const float *rows[NEAR_ROWS], *next_rows[NEAR_ROWS];
    double products[NEAR_ROWS];
    for (int r = 0; r < n; r++) {
        rows[r] = search->rows + numbers[r] * search->dimensions;
        next_rows[r] = search->rows + next[r] * search->dimensions;
    }
    NAME(products)(centred->values, rows, next_rows, search->dimensions, n, products);
    for (int r = 0; r < n; r++) {
        const double row_square = search->row_squares[numbers[r]];
        if (search->metric == JR_COSINE) {
            double cosine = jr_topk_cosine(products[r], search->query_squares[query], row_square);
            NAME(offer)(search, worker, query, numbers[r], jr_topk_cosine_distance(cosine), (float)cosine);
            continue;
        }
        const double square = row_square + centred->square - 2.0 * products[r];
        const double error = centred->error + slack * row_square;
        const float least = (float)sqrt(square > error ? square - error : 0.0), most = (float)sqrt(square + error);
        if (least == most)
            NAME(offer)(search, worker, query, numbers[r], least, 0.0f);
        else
            NAME(measure)(search, worker, query, numbers[r]);
    }
}

/* A query in double, centred but for the cosine, in `values`, and what its distances need of it. */
TARGET static jr_topk_centred_query NAME(centred_query)(const jr_topk *search, int64_t query, double *values)
{
    const int64_t d = search->dimensions;
    const float *q = search->queries + query * d;
    double square = 0, with_centre = 0, centre_square = 0;
    for (int64_t i = 0; i < d; i++) {
        const double c = search->metric == JR_COSINE ? 0 : search->centre[i];
        values[i] = q[i] - c;
        square += values[i] * values[i];
        with_centre += values[i] * c;
        centre_square += c * c;
    }
    for (int64_t i = d; i < jr_padded_dimensions(search); i++)
        values[i] = 0;
    const double error = jr_topk_product_slack(search) * (square + 2.0 * sqrt(square * centre_square));
    return (jr_topk_centred_query){values, square + 2.0 * with_centre, error};
}

/* Measures the rows of a run before `end`; too few to be measured at once wait, until the `last` time. */
TARGET static void NAME(measure_run)(jr_topk *search, jr_topk_worker *worker, int64_t query,
                                     const jr_topk_centred_query *centred, const uint32_t *rows, jr_topk_run *run,
                                     int64_t end, int last)
{
    for (; run->at + NEAR_ROWS <= run->end && rows[run->at + NEAR_ROWS - 1] < end; run->at += NEAR_ROWS)
        NAME(measure_products)(search, worker, query, centred, rows + run->at,
                               rows + run->at + (run->at + 2 * NEAR_ROWS <= run->end ? NEAR_ROWS : 0), NEAR_ROWS);
    for (; last && run->at < run->end; run->at++)
        NAME(measure_products)(search, worker, query, centred, rows + run->at, rows + run->at, 1);
}

/* Measures the candidates of the queries from `first` to before `end`, window by window. */
TARGET static void NAME(measure_together)(jr_topk *search, jr_topk_worker *worker, int64_t first, int64_t end)
{
    const int64_t room = search->threads * jr_candidate_room(search->k), padded = jr_padded_dimensions(search);
    const int64_t window = JR_WINDOW_FLOATS / padded + 1;
    for (int64_t q = 0; q < end - first; q++)
        worker->centred[q] = NAME(centred_query)(search, first + q, worker->centred_values + q * padded);
    int last = 0;
    for (int64_t next = window; !last; next += window) {
        last = next >= search->n;
        for (int64_t q = 0; q < end - first; q++)
            for (int w = 0; w < search->threads; w++)
                NAME(measure_run)(search, worker, first + q, &worker->centred[q], worker->group_rows + q * room,
                                  &worker->group_runs[q * search->threads + w], next, last);
    }
}
