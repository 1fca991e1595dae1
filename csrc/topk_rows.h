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

/* Fetches rows to come, while number `i` of four rows is read: short rows in the order of memory (a line of each of four
 * rows in turn takes up to 1.6 times as long on Zen 3), long ones, which leave no room in the L1 cache for the next four
 * as a whole, a little ahead in each row, and the first lines of the next four at the end. */
INLINE void NAME(fetch)(const float *x, int64_t d, int64_t step, int64_t i, int64_t row_ahead)
{
    const float *next = x + 4 * i + JR_PREFETCH_FLOATS(d);
    int64_t stride = 16;
    if (d > JR_SHORT_ROW) {
        const int64_t soon = i + row_ahead;
        next = x + soon + (soon < d ? 0 : 4 * step - d);
        stride = step;
    }
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
        __builtin_prefetch(next + r * stride);
}

/* A query against up to four rows, whose sums over the lanes are taken together: squared distances, without
 * cancellation, or products. `first`: of the queries; then rows to come are fetched, and for the cosine the squared
 * lengths of these are left in `lengths`. */
INLINE jr_four NAME(compare_four)(const jr_topk *search, int64_t query, int64_t row, const int64_t n, const int cosine,
                                  const int first, float *lengths)
{
    const int64_t d = search->dimensions, step = n == 4 ? d : 0; /* where there are fewer, the first again */
    const float *q = search->queries + query * d, *x = search->rows + row * d;
    VECTOR sums[4] = {{0}}, squares[4] = {{0}};
    int64_t i = 0;
    for (; i + 16 <= d; i += 16) {
        if (first)
            NAME(fetch)(x, d, step, i, search->row_ahead);
        NAME(add_four)(q + i, x + i, step, 16 / FLOAT_LANES, cosine, first, sums, squares);
    }
    for (; i + FLOAT_LANES <= d; i += FLOAT_LANES)
        NAME(add_four)(q + i, x + i, step, 1, cosine, first, sums, squares);
    jr_four scores = FOUR_SUMS(sums[0], sums[1], sums[2], sums[3]), scales = {0};
    if (cosine && first)
        scales = FOUR_SUMS(squares[0], squares[1], squares[2], squares[3]);
    for (; i < d; i++) {
        const jr_four values = {x[i], x[step + i], x[2 * step + i], x[3 * step + i]}, differences = q[i] - values;
        scores += cosine ? q[i] * values : differences * differences;
        if (cosine && first)
            scales += values * values;
    }
    if (cosine && first)
        memcpy(lengths, &scales, sizeof scales);
    return scores;
}

/* What rough distances are looked at for: a bit for each row that is near enough, and for each whose distance has no
 * error bound. */
typedef struct {
    uint64_t near, odd;
} NAME(verdicts);

/* Of squared distances. */
INLINE NAME(verdicts) NAME(judge_distances)(const float *scores, int64_t n, float limit)
{
    NAME(verdicts) verdicts = {0, 0};
    for (int64_t i = 0; i < n; i += FLOAT_LANES) {
        const VECTOR score = *(const UNALIGNED *)(scores + i);
        verdicts.near |= (uint64_t)NOT_GREATER(score, (VECTOR){0} + limit) << i;
        verdicts.odd |= (uint64_t)NOT_GREATER((VECTOR){0} + INFINITY, score) << i;
    }
    return verdicts;
}

/* Of products with a query and squared lengths; where rows may be near, `scores` become 1 - cosine. Most are too far
 * without a root or a quotient: 1 - p / |q||x| > limit where p|p| < ((1 - limit) |q|)^2 |x|^2 and that is positive, here
 * by 2^-20 of it, more than rounding may add where nothing underflows. */
INLINE NAME(verdicts) NAME(judge_products)(float *scores, const float *lengths, int64_t n, float limit, float norm)
{
    const float reach = (1.0f - limit) * norm * (1.0f - 0x1p-20f), least = reach > 1e-18f ? reach * reach : NAN;
    const VECTOR zero = {0}, short_one = zero + 1e-20f, long_one = zero + 1e30f;
    NAME(verdicts) verdicts = {0, 0};
    for (int64_t i = 0; i < n; i += FLOAT_LANES) {
        const VECTOR product = *(const UNALIGNED *)(scores + i), square = *(const UNALIGNED *)(lengths + i);
        const VECTOR magnitude = (VECTOR)((INTEGERS)product & INT32_MAX);
        const VECTOR askew = least * square - product * magnitude;
        const uint64_t odd = NOT_GREATER(square, short_one) | NOT_GREATER(long_one, square);
        if (!(NOT_GREATER(askew, zero) | NOT_GREATER(long_one, askew) | odd))
            continue;
        const VECTOR score = 1.0f - product / (norm * ROOTS(square));
        *(UNALIGNED *)(scores + i) = score;
        verdicts.near |= (uint64_t)NOT_GREATER(score, zero + limit) << i;
        verdicts.odd |= (odd | NOT_GREATER(zero + INFINITY, score)) << i; /* a norm that is NaN makes all of them so */
    }
    return verdicts;
}

/* Keeps those of `n` rows from `row` on that may be among the nearest of a query; measures those that are odd. */
INLINE void NAME(keep_near)(jr_topk *search, jr_topk_worker *worker, int64_t query, const float *scores, int64_t row,
                            int64_t n, NAME(verdicts) verdicts)
{
    const uint64_t all = n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
    if (isnan(worker->limits[query]))
        verdicts.odd = all;
    for (uint64_t near = verdicts.near & ~verdicts.odd & all; near; near &= near - 1) {
        const int place = __builtin_ctzll(near);
        if (scores[place] <= worker->limits[query]) /* it may have fallen since */
            NAME(keep)(search, worker, query, scores[place], row + place);
    }
    for (uint64_t odd = verdicts.odd & all; odd; odd &= odd - 1) {
        const int64_t at = row + __builtin_ctzll(odd);
        if (NAME(is_finite)(search, search->rows + at * search->dimensions, search->first_id + at))
            NAME(measure)(search, worker, query, at);
    }
}

/* Rows from `row` to before `end`. */
INLINE void NAME(compare_rows)(jr_topk *search, jr_topk_worker *worker, int64_t row, int64_t end, const int cosine)
{
    float scores[JR_FEW_QUERIES][JR_ROUGH_ROWS + 4] = {{0}}; /* four are written for one row, too */
    float lengths[JR_ROUGH_ROWS + 4] = {0};
    float norms[JR_FEW_QUERIES];
    for (int64_t query = 0; query < search->count; query++) {
        const double square = search->query_squares[query];
        norms[query] = square > 1e-20 && square < 1e30 ? (float)sqrt(square) : NAN;
    }
    for (int64_t n; row < end; row += n) {
        n = end - row < JR_ROUGH_ROWS ? end - row : JR_ROUGH_ROWS;
        int64_t at = 0;
#define COMPARE(query, rows, first) \
    *(jr_four_anywhere *)(scores[query] + at) = NAME(compare_four)(search, query, row + at, rows, cosine, first, \
                                                                   lengths + at)
        for (; at + 4 <= n; at += 4) {
            COMPARE(0, 4, 1);
            for (int64_t query = 1; query < search->count; query++)
                COMPARE(query, 4, 0);
        }
        for (; at < n; at++) {
            COMPARE(0, 1, 1);
            for (int64_t query = 1; query < search->count; query++)
                COMPARE(query, 1, 0);
        }
#undef COMPARE
        for (int64_t query = 0; query < search->count; query++) {
            const float limit = worker->limits[query];
            NAME(verdicts) verdicts = cosine
                ? NAME(judge_products)(scores[query], lengths, n, limit, norms[query])
                : NAME(judge_distances)(scores[query], n, limit);
            if (verdicts.near | verdicts.odd)
                NAME(keep_near)(search, worker, query, scores[query], row, n, verdicts);
        }
    }
}
