/* Few queries against the rows as they lie, in float32; part of topk_kernel.h. */

/* Whether all numbers of a row are finite; where not, the row is reported. */
TARGET static int NAME(is_finite)(jr_topk *search, const float *x, int64_t id)
{
    for (int64_t i = 0; i < search->dimensions; i++)
        if (!isfinite(x[i])) {
            jr_topk_report_bad(search, id);
            return 0;
        }
    return 1;
}

/* What a rough distance of a row decides: `scale` is not finite where a number of the row is not. */
INLINE void NAME(judge)(jr_topk *search, jr_topk_worker *worker, int64_t query, float score, float scale, int64_t row)
{
    const float limit = worker->limits[query];
    if (score <= FLT_MAX && scale <= FLT_MAX && !isnan(limit)) {
        if (score <= limit)
            NAME(keep)(search, worker, query, score, row);
        return;
    }
    if (isfinite(scale) || NAME(is_finite)(search, search->rows + row * search->dimensions, search->first_id + row))
        NAME(measure)(search, worker, query, row);
}

/* Adds what `n` vectors of a query and of four rows give to the sums, and for the cosine, where `measure`, what the rows
 * alone give to their squared lengths. */
INLINE void NAME(add_four)(const float *q, const float *x, int64_t step, const int n, const int cosine,
                           const int measure, VECTOR *sums, VECTOR *squares)
{
#pragma GCC unroll 4
    for (int v = 0; v < n; v++) {
        const VECTOR part = *(const UNALIGNED *)(q + v * FLOAT_LANES);
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            const VECTOR value = *(const UNALIGNED *)(x + r * step + v * FLOAT_LANES), difference = part - value;
            if (cosine)
                sums[r] = MULTIPLY_ADD(part, value, sums[r]);
            else
                sums[r] = MULTIPLY_ADD(difference, difference, sums[r]);
            if (cosine && measure)
                squares[r] = MULTIPLY_ADD(value, value, squares[r]);
        }
    }
}

/* Whether four rows are too far by their products with a query and squared lengths, without a root or a quotient:
 * 1 - p / |q||x| > limit where p|p| < ((1 - limit) |q|)^2 |x|^2 and that is positive, here by 2^-20 of it, more than
 * rounding may add where nothing underflows. Lengths must be such that the error bound holds. */
INLINE int NAME(are_askew)(jr_four products, jr_four squares, float limit, float norm)
{
    const float reach = (1.0f - limit) * norm * (1.0f - 0x1p-20f), least = reach > 1e-18f ? reach * reach : NAN;
    const jr_four magnitudes = (jr_four)((jr_four_flags)products & INT32_MAX);
    return jr_four_within(least * squares - products * magnitudes, (jr_four){0}, squares, 1e30f)
           && jr_four_within(squares, (jr_four){0} + 1e-20f, squares, 1e30f);
}

/* 1 - cosine; NaN where the error bound does not hold for the lengths. */
INLINE jr_four NAME(four_cosine_distances)(jr_four products, jr_four squares, float norm)
{
    const jr_four scores = 1.0f - products / (norm * jr_four_roots(squares));
    const jr_four_flags bounded = (squares > 1e-20f) & (squares < 1e30f); /* a norm that is not is NaN */
    return (jr_four)(((jr_four_flags)scores & bounded) | ((jr_four_flags)((jr_four){0} + NAN) & ~bounded));
}

/* A query against up to four rows, whose sums over the lanes are taken together: squared distances, without
 * cancellation, or 1 - cosine. `first`: of the queries; then rows to come are fetched, and for the cosine the squared
 * lengths of these are left in `lengths` for the others. `norm` is the query's length, for the cosine. */
INLINE void NAME(compare_four)(jr_topk *search, jr_topk_worker *worker, int64_t query, int64_t row, const int64_t n,
                               const int cosine, const int first, float norm, jr_four *lengths)
{
    const int64_t d = search->dimensions, step = n == 4 ? d : 0; /* where there are fewer, the first again */
    const float *q = search->queries + query * d, *x = search->rows + row * d, *next = x + JR_PREFETCH_FLOATS(d);
    const float limit = worker->limits[query];
    VECTOR sums[4] = {{0}}, squares[4] = {{0}};
    int64_t i = 0;
    for (; i + 16 <= d; i += 16) {
        if (first)
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                __builtin_prefetch(next + r * step + i);
        NAME(add_four)(q + i, x + i, step, 16 / FLOAT_LANES, cosine, first, sums, squares);
    }
    for (; i + FLOAT_LANES <= d; i += FLOAT_LANES)
        NAME(add_four)(q + i, x + i, step, 1, cosine, first, sums, squares);
    jr_four scores = FOUR_SUMS(sums[0], sums[1], sums[2], sums[3]), scales = scores;
    if (cosine)
        scales = first ? FOUR_SUMS(squares[0], squares[1], squares[2], squares[3]) : *lengths;
    for (; i < d; i++) {
        const jr_four values = {x[i], x[step + i], x[2 * step + i], x[3 * step + i]}, differences = q[i] - values;
        scores += cosine ? q[i] * values : differences * differences;
        if (cosine && first)
            scales += values * values;
        else if (!cosine)
            scales = scores;
    }
    if (cosine) {
        *lengths = scales;
        if (NAME(are_askew)(scores, scales, limit, norm))
            return;
        scores = NAME(four_cosine_distances)(scores, scales, norm);
    }
    if (jr_four_within(scores, (jr_four){0} + limit, scales, FLT_MAX))
        return;
    float each[4], scale[4];
    memcpy(each, &scores, sizeof each);
    memcpy(scale, &scales, sizeof scale);
    for (int r = 0; r < n; r++)
        NAME(judge)(search, worker, query, each[r], scale[r], row + r);
}

/* Rows from `row` to before `end`. */
INLINE void NAME(compare_rows)(jr_topk *search, jr_topk_worker *worker, int64_t row, int64_t end, const int cosine)
{
    jr_four lengths;
    float norms[JR_FEW_QUERIES];
    for (int64_t query = 0; query < search->count; query++) {
        const double square = search->query_squares[query];
        norms[query] = square > 1e-20 && square < 1e30 ? (float)sqrt(square) : NAN;
    }
    for (; row + 4 <= end; row += 4) {
        NAME(compare_four)(search, worker, 0, row, 4, cosine, 1, norms[0], &lengths);
        for (int64_t query = 1; query < search->count; query++)
            NAME(compare_four)(search, worker, query, row, 4, cosine, 0, norms[query], &lengths);
    }
    for (; row < end; row++) {
        NAME(compare_four)(search, worker, 0, row, 1, cosine, 1, norms[0], &lengths);
        for (int64_t query = 1; query < search->count; query++)
            NAME(compare_four)(search, worker, query, row, 1, cosine, 0, norms[query], &lengths);
    }
}
