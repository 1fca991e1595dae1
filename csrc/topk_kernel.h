/* The body of the top-k search, included once for each instruction set (topk_x86.c, topk_generic.c) with
 *   TARGET            the function attribute
 *   NAME(x)           the name of x at this level
 *   FLOAT_LANES       floats in a register; DOUBLE_LANES = FLOAT_LANES / 2
 *   PANEL_ROWS        gallery rows held in registers (times two vectors of queries)
 *   MULTIPLY_ADD(a, b, c)   a * b + c on float vectors, fused or not
 *   FOUR_SUMS(a, b, c, d)   the sums over the lanes of four vectors, a jr_four
 *   NOT_GREATER(a, b) bit mask of the lanes where !(a > b), so also where either is NaN
 */
#include <float.h>

#include "topk_state.h"

#define DOUBLE_LANES (FLOAT_LANES / 2)
#define VECTOR NAME(vector)
#define UNALIGNED NAME(unaligned)
#define DOUBLES NAME(doubles)
#define HALF NAME(half)

typedef float VECTOR __attribute__((vector_size(FLOAT_LANES * 4)));
typedef float UNALIGNED __attribute__((vector_size(FLOAT_LANES * 4), aligned(4), may_alias));
typedef double DOUBLES __attribute__((vector_size(DOUBLE_LANES * 8)));
typedef float HALF __attribute__((vector_size(DOUBLE_LANES * 4), aligned(4), may_alias));

#define INLINE TARGET static inline __attribute__((always_inline))
#define ACCUMULATORS (16 / DOUBLE_LANES)

/* Sixteen running sums, element i always in sum i mod 16, then a fixed tree: the same bits on every machine. */
INLINE double NAME(tree_sum)(const DOUBLES *sums)
{
    double lane[16];
    memcpy(lane, sums, sizeof lane);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

#define TO_DOUBLES(p) __builtin_convertvector(*(const HALF *)(p), DOUBLES)

INLINE void NAME(add_squares)(DOUBLES *sums, const float *q, const float *x)
{
#pragma GCC unroll 8
    for (int a = 0; a < ACCUMULATORS; a++) {
        DOUBLES difference = TO_DOUBLES(q + a * DOUBLE_LANES) - TO_DOUBLES(x + a * DOUBLE_LANES);
        sums[a] += difference * difference;
    }
}

TARGET static double NAME(squared_distance)(const float *q, const float *x, int64_t d)
{
    DOUBLES sums[ACCUMULATORS] = {{0}};
    int64_t i = 0;
    for (; i + 16 <= d; i += 16)
        NAME(add_squares)(sums, q + i, x + i);
    if (i < d) {
        float qt[16] = {0}, xt[16] = {0};
        memcpy(qt, q + i, (size_t)(d - i) * sizeof *q);
        memcpy(xt, x + i, (size_t)(d - i) * sizeof *x);
        NAME(add_squares)(sums, qt, xt);
    }
    return NAME(tree_sum)(sums);
}

INLINE void NAME(add_products)(DOUBLES *dots, DOUBLES *squares, const float *q, const float *x)
{
#pragma GCC unroll 8
    for (int a = 0; a < ACCUMULATORS; a++) {
        DOUBLES qv = TO_DOUBLES(q + a * DOUBLE_LANES), xv = TO_DOUBLES(x + a * DOUBLE_LANES);
        dots[a] += qv * xv;
        squares[a] += xv * xv;
    }
}

TARGET static double NAME(cosine)(const float *q, double query_square, const float *x, int64_t d)
{
    DOUBLES dots[ACCUMULATORS] = {{0}}, squares[ACCUMULATORS] = {{0}};
    int64_t i = 0;
    for (; i + 16 <= d; i += 16)
        NAME(add_products)(dots, squares, q + i, x + i);
    if (i < d) {
        float qt[16] = {0}, xt[16] = {0};
        memcpy(qt, q + i, (size_t)(d - i) * sizeof *q);
        memcpy(xt, x + i, (size_t)(d - i) * sizeof *x);
        NAME(add_products)(dots, squares, qt, xt);
    }
    double square = NAME(tree_sum)(squares);
    if (square == 0.0 || query_square == 0.0)
        return 0.0;
    double c = NAME(tree_sum)(dots) / sqrt(query_square * square);
    return c > 1.0 ? 1.0 : c < -1.0 ? -1.0 : c;
}

/* Measures one pair exactly and offers it. */
TARGET static void NAME(measure)(jr_topk *search, jr_topk_worker *worker, int64_t query, const float *x, int64_t id)
{
    int64_t d = search->dimensions;
    const float *q = search->queries + query * d;
    double query_square = search->query_squares[query];
    if (search->ids)
        id = search->ids[id];
    if (search->metric == JR_COSINE) {
        double c = NAME(cosine)(q, query_square, x, d);
        /* a grid of 2^-40 keeps rounding from telling scaled copies of one vector apart */
        float distance = (float)(rint((1.0 - c) * 0x1p40) * 0x1p-40);
        if (jr_topk_enters(worker, query, distance, id))
            jr_topk_offer(search, worker, query, distance, (float)c, id);
        return;
    }
    float distance = (float)sqrt(NAME(squared_distance)(q, x, d));
    if (jr_topk_enters(worker, query, distance, id)) {
        float c = search->metric == JR_PAR ? (float)NAME(cosine)(q, query_square, x, d) : 0.0f;
        jr_topk_offer(search, worker, query, distance, c, id);
    }
}

INLINE float NAME(lane_sum)(VECTOR v)
{
    float lane[FLOAT_LANES];
    memcpy(lane, &v, sizeof lane);
    for (int width = FLOAT_LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

/* The sum of the squares of a row, in float32: it is not finite where a number of the row is not. */
INLINE float NAME(square_of)(const float *x, int64_t d)
{
    VECTOR a = {0}, b = {0};
    int64_t i = 0;
    for (; i + 2 * FLOAT_LANES <= d; i += 2 * FLOAT_LANES) {
        VECTOR x0 = *(const UNALIGNED *)(x + i), x1 = *(const UNALIGNED *)(x + i + FLOAT_LANES);
        a = MULTIPLY_ADD(x0, x0, a);
        b = MULTIPLY_ADD(x1, x1, b);
    }
    float sum = NAME(lane_sum)(a + b);
    for (; i < d; i++)
        sum += x[i] * x[i];
    return sum;
}

/* The squared distance in float32, without cancellation: its relative error is below (d + 3) units of rounding. */
TARGET static float NAME(rough_distance)(const float *q, const float *x, int64_t d)
{
    VECTOR sums[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * FLOAT_LANES <= d; i += 4 * FLOAT_LANES)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            VECTOR difference = *(const UNALIGNED *)(q + i + v * FLOAT_LANES)
                - *(const UNALIGNED *)(x + i + v * FLOAT_LANES);
            sums[v] = MULTIPLY_ADD(difference, difference, sums[v]);
        }
    float sum = NAME(lane_sum)((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < d; i++)
        sum += (q[i] - x[i]) * (q[i] - x[i]);
    return sum;
}

/* 1 - cosine in float32, and the row's squared norm. */
TARGET static float NAME(rough_cosine)(const float *q, float query_norm, const float *x, int64_t d, float *square)
{
    VECTOR dots[2] = {{0}}, squares[2] = {{0}};
    int64_t i = 0;
    for (; i + 2 * FLOAT_LANES <= d; i += 2 * FLOAT_LANES)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++) {
            VECTOR value = *(const UNALIGNED *)(x + i + v * FLOAT_LANES);
            dots[v] = MULTIPLY_ADD(*(const UNALIGNED *)(q + i + v * FLOAT_LANES), value, dots[v]);
            squares[v] = MULTIPLY_ADD(value, value, squares[v]);
        }
    float dot = NAME(lane_sum)(dots[0] + dots[1]), sum = NAME(lane_sum)(squares[0] + squares[1]);
    for (; i < d; i++) {
        dot += q[i] * x[i];
        sum += x[i] * x[i];
    }
    *square = sum;
    return 1.0f - dot / (query_norm * sqrtf(sum));
}

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
INLINE void NAME(judge)(jr_topk *search, jr_topk_worker *worker, int64_t query, float score, float scale, const float *x,
                        int64_t id)
{
    if (score > worker->limits[query] && score <= FLT_MAX && scale <= FLT_MAX)
        return;
    if (!isfinite(scale) && !NAME(is_finite)(search, x, id))
        return;
    NAME(measure)(search, worker, query, x, id);
}

/* One row against a query, without packing. */
TARGET static void NAME(compare_row)(jr_topk *search, jr_topk_worker *worker, int64_t query, const float *x, int64_t id)
{
    int64_t d = search->dimensions;
    const float *q = search->queries + query * d;
    float score, scale;
    if (search->metric == JR_COSINE) {
        double square = search->query_squares[query];
        score = NAME(rough_cosine)(q, (float)sqrt(square), x, d, &scale);
        if (!(scale > 1e-20f && scale < 1e30f && square > 1e-20 && square < 1e30))
            score = NAN; /* the error bound does not hold */
    } else {
        score = scale = NAME(rough_distance)(q, x, d);
    }
    NAME(judge)(search, worker, query, score, scale, x, id);
}

/* Four rows against a query: their sums over the lanes are taken together. */
INLINE void NAME(compare_four)(jr_topk *search, jr_topk_worker *worker, int64_t query, const float *x, int64_t id,
                               const int cosine)
{
    const int64_t d = search->dimensions;
    const float *q = search->queries + query * d;
    VECTOR sums[4] = {{0}}, squares[4] = {{0}};
    int64_t i = 0;
    for (; i + FLOAT_LANES <= d; i += FLOAT_LANES) {
        VECTOR part = *(const UNALIGNED *)(q + i);
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            VECTOR value = *(const UNALIGNED *)(x + r * d + i), difference = part - value;
            if (cosine) {
                sums[r] = MULTIPLY_ADD(part, value, sums[r]);
                squares[r] = MULTIPLY_ADD(value, value, squares[r]);
            } else {
                sums[r] = MULTIPLY_ADD(difference, difference, sums[r]);
            }
        }
    }
    jr_four scores = FOUR_SUMS(sums[0], sums[1], sums[2], sums[3]), scales = scores;
    if (cosine)
        scales = FOUR_SUMS(squares[0], squares[1], squares[2], squares[3]);
    for (; i < d; i++) {
        const jr_four values = {x[i], x[d + i], x[2 * d + i], x[3 * d + i]}, differences = q[i] - values;
        scores += cosine ? q[i] * values : differences * differences;
        scales += cosine ? values * values : differences * differences;
    }
    if (cosine) {
        const double square = search->query_squares[query];
        const float norm = (float)sqrt(square);
        for (int r = 0; r < 4; r++) {
            scores[r] = 1.0f - scores[r] / (norm * sqrtf(scales[r]));
            if (!(scales[r] > 1e-20f && scales[r] < 1e30f && square > 1e-20 && square < 1e30))
                scores[r] = NAN; /* the error bound does not hold */
        }
    }
    /* all far, and no number that is not finite */
    const jr_four_flags far = (scores > worker->limits[query]) & (scores <= FLT_MAX) & (scales <= FLT_MAX);
    if ((((jr_two_flags)far)[0] & ((jr_two_flags)far)[1]) == -1)
        return;
    for (int r = 0; r < 4; r++)
        NAME(judge)(search, worker, query, scores[r], scales[r], x + r * d, id + r);
}

/* Few queries, row by row as the rows lie. */
INLINE void NAME(compare_rows)(jr_topk *search, jr_topk_worker *worker, const float *rows, int64_t n, int64_t first_id,
                               const int cosine)
{
    const int64_t d = search->dimensions;
    int64_t row = 0;
    for (; row + 4 <= n; row += 4) {
        for (int64_t at = 0; at < 4 * d; at += 16)
            __builtin_prefetch(rows + row * d + at + JR_PREFETCH_FLOATS);
        for (int64_t query = 0; query < search->count; query++)
            NAME(compare_four)(search, worker, query, rows + row * d, first_id + row, cosine);
    }
    for (; row < n; row++)
        for (int64_t query = 0; query < search->count; query++)
            NAME(compare_row)(search, worker, query, rows + row * d, first_id + row);
}

/* Copies one row, centred (and for the cosine scaled to unit length), to its place in a panel; returns its bias. */
TARGET static float NAME(pack_row)(jr_topk *search, const float *x, int64_t id, float *panel, int place)
{
    int64_t d = search->dimensions;
    const float *restrict centre = search->centre;
    double scale = 1.0;
    if (search->metric == JR_COSINE) {
        DOUBLES sums[ACCUMULATORS] = {{0}}, unused[ACCUMULATORS] = {{0}};
        int64_t i = 0;
        for (; i + 16 <= d; i += 16)
            NAME(add_products)(unused, sums, x + i, x + i);
        double square = NAME(tree_sum)(sums);
        for (; i < d; i++)
            square += (double)x[i] * x[i];
        if (!isfinite(square)) /* squares of float32 cannot overflow a double */
            NAME(is_finite)(search, x, id);
        scale = square > 0 ? 1.0 / sqrt(square) : NAN;
    }
    float total = 0;
    for (int64_t start = 0; start < d; start += JR_SLICE) {
        int64_t width = d - start < JR_SLICE ? d - start : JR_SLICE;
        float *restrict out = panel + start * PANEL_ROWS + place * JR_SLICE;
        if (search->metric == JR_COSINE)
            for (int64_t i = 0; i < width; i++)
                out[i] = (float)(x[start + i] * scale) - centre[start + i];
        else
            for (int64_t i = 0; i < width; i++)
                out[i] = x[start + i] - centre[start + i];
        total += NAME(square_of)(out, width);
    }
    if (!(total < 1e30f)) { /* NaN, infinite, or so large that the bound does not hold */
        if (search->metric != JR_COSINE)
            NAME(is_finite)(search, x, id);
        return NAN;
    }
    return (float)(total * (0.5 - search->slack));
}

/* Products of one panel of rows with one or two vectors of queries, all dimensions, in registers; then which of
 * the pairs must be measured. */
INLINE void NAME(panel_product)(jr_topk *search, jr_topk_worker *worker, const float *panel, const float *biases,
                                int64_t first_query, const int vectors, int64_t panel_rows, const float *rows,
                                int64_t first_id)
{
    int64_t d = search->dimensions, stride = d * FLOAT_LANES;
    const float *packed = search->packed + first_query * d;
    VECTOR sums[PANEL_ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < PANEL_ROWS; r++)
        sums[r][0] = sums[r][1] = (VECTOR){0};
    for (int64_t start = 0; start < d; start += JR_SLICE) {
        int64_t width = d - start < JR_SLICE ? d - start : JR_SLICE;
        const float *x = panel + start * PANEL_ROWS;
        for (int64_t i = 0; i < width; i++) {
            VECTOR q0 = *(const UNALIGNED *)packed, q1 = {0};
            if (vectors == 2)
                q1 = *(const UNALIGNED *)(packed + stride);
#pragma GCC unroll 16
            for (int r = 0; r < PANEL_ROWS; r++) {
                VECTOR value = x[i + r * JR_SLICE] - (VECTOR){0};
                sums[r][0] = MULTIPLY_ADD(value, q0, sums[r][0]);
                if (vectors == 2)
                    sums[r][1] = MULTIPLY_ADD(value, q1, sums[r][1]);
            }
            packed += FLOAT_LANES;
        }
    }
    uint32_t masks[2][PANEL_ROWS], any = 0;
    VECTOR limits[2] = {*(const UNALIGNED *)(worker->limits + first_query), {0}};
    if (vectors == 2)
        limits[1] = *(const UNALIGNED *)(worker->limits + first_query + FLOAT_LANES);
#pragma GCC unroll 16
    for (int r = 0; r < PANEL_ROWS; r++) {
        for (int v = 0; v < vectors; v++) {
            masks[v][r] = NOT_GREATER((biases[r] - sums[r][v]), limits[v]);
            any |= masks[v][r];
        }
    }
    if (!any)
        return;
    for (int r = 0; r < panel_rows; r++)
        for (int v = 0; v < vectors; v++)
            for (uint32_t mask = masks[v][r]; mask; mask &= mask - 1) {
                int64_t query = first_query + v * FLOAT_LANES + __builtin_ctz(mask);
                if (query < search->count)
                    NAME(measure)(search, worker, query, rows + r * d, first_id + r);
            }
}

TARGET static void NAME(two_vectors)(jr_topk *search, jr_topk_worker *worker, const float *panel, const float *biases,
                                     int64_t query, int64_t panel_rows, const float *rows, int64_t first_id)
{
    NAME(panel_product)(search, worker, panel, biases, query, 2, panel_rows, rows, first_id);
}

TARGET static void NAME(one_vector)(jr_topk *search, jr_topk_worker *worker, const float *panel, const float *biases,
                                    int64_t query, int64_t panel_rows, const float *rows, int64_t first_id)
{
    NAME(panel_product)(search, worker, panel, biases, query, 1, panel_rows, rows, first_id);
}

/* One block of the gallery against all queries. */
TARGET static void NAME(block)(jr_topk *search, jr_topk_worker *worker, const float *rows, int64_t n,
                               int64_t first_id)
{
    int64_t d = search->dimensions;
    if (search->count <= JR_FEW_QUERIES) {
        if (search->metric == JR_COSINE)
            NAME(compare_rows)(search, worker, rows, n, first_id, 1);
        else
            NAME(compare_rows)(search, worker, rows, n, first_id, 0);
        return;
    }
    int64_t slices = (d + JR_SLICE - 1) / JR_SLICE, panel_size = slices * JR_SLICE * PANEL_ROWS;
    for (int64_t row = 0; row < n; row++)
        worker->biases[row] = NAME(pack_row)(search, rows + row * d, first_id + row,
                                             worker->scratch + row / PANEL_ROWS * panel_size, (int)(row % PANEL_ROWS));
    if (atomic_load_explicit(&search->bad_row, memory_order_relaxed) >= 0)
        return;
    for (int64_t query = 0; query < search->padded; query += 2 * FLOAT_LANES)
        for (int64_t row = 0; row < n; row += PANEL_ROWS) {
            const float *panel = worker->scratch + row / PANEL_ROWS * panel_size;
            int64_t panel_rows = n - row < PANEL_ROWS ? n - row : PANEL_ROWS;
            if (query + FLOAT_LANES < search->padded)
                NAME(two_vectors)(search, worker, panel, worker->biases + row, query, panel_rows, rows + row * d,
                                  first_id + row);
            else
                NAME(one_vector)(search, worker, panel, worker->biases + row, query, panel_rows, rows + row * d,
                                 first_id + row);
        }
}

const jr_topk_kernel NAME(jr_topk_kernel) = {PANEL_ROWS, FLOAT_LANES, NAME(block)};

#undef DOUBLE_LANES
#undef VECTOR
#undef UNALIGNED
#undef DOUBLES
#undef HALF
#undef INLINE
#undef ACCUMULATORS
#undef TO_DOUBLES
