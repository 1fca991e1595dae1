/* Many queries: panels of centred rows, their products with all queries in float32; part of topk_kernel.h. */

/* The squared norms of four rows in float32; `sums` over the whole vectors, the rest one by one. */
INLINE jr_four NAME(four_squares)(const float *const *rows, int64_t d)
{
    VECTOR sums[4] = {{0}};
    int64_t i = 0;
    for (; i + FLOAT_LANES <= d; i += FLOAT_LANES)
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            VECTOR value = *(const UNALIGNED *)(rows[r] + i);
            sums[r] = MULTIPLY_ADD(value, value, sums[r]);
        }
    jr_four squares = FOUR_SUMS(sums[0], sums[1], sums[2], sums[3]);
    for (; i < d; i++) {
        const jr_four values = {rows[0][i], rows[1][i], rows[2][i], rows[3][i]};
        squares += values * values;
    }
    return squares;
}

/* What four rows are multiplied by: one over their length for the cosine, NaN where float32 has none. */
INLINE jr_four NAME(four_scales)(jr_topk *search, const float *const *rows, const int64_t *ids)
{
    jr_four scales = NAME(four_squares)(rows, search->dimensions);
    for (int r = 0; r < 4; r++) {
        if (!isfinite(scales[r]))
            NAME(is_finite)(search, rows[r], ids[r]);
        scales[r] = scales[r] > 1e-20f && scales[r] < 1e30f ? 1.0f / sqrtf(scales[r]) : NAN;
    }
    return scales;
}

/* Copies up to four rows, centred (and for the cosine scaled to unit length), to their places in panels, and notes
 * their biases. */
INLINE void NAME(pack_rows)(jr_topk *search, jr_topk_worker *worker, int64_t first_row, int64_t place, int64_t n,
                            const int cosine)
{
    const int64_t d = search->dimensions, panel = (d + JR_SLICE - 1) / JR_SLICE * JR_SLICE * PANEL_ROWS;
    const float *rows[4];
    float *out[4];
    int64_t ids[4];
    for (int r = 0; r < 4; r++) {
        int64_t step = r < n ? r : n - 1; /* where there are fewer, the last again */
        rows[r] = search->rows + (first_row + step) * d;
        ids[r] = search->first_id + first_row + step;
        out[r] = worker->scratch + (place + step) / PANEL_ROWS * panel + (place + step) % PANEL_ROWS * JR_SLICE;
    }
    jr_four scales = {1, 1, 1, 1}, squares;
    if (cosine)
        scales = NAME(four_scales)(search, rows, ids);
    VECTOR sums[4] = {{0}};
    jr_four rest = {0};
    for (int64_t start = 0; start < d; start += JR_SLICE) {
        const int64_t width = d - start < JR_SLICE ? d - start : JR_SLICE;
        const float *centre = search->centre + start;
        int64_t i = 0;
        for (; i + FLOAT_LANES <= width; i += FLOAT_LANES) {
            const VECTOR middle = *(const UNALIGNED *)(centre + i);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                VECTOR value = *(const UNALIGNED *)(rows[r] + start + i);
                value = (cosine ? value * scales[r] : value) - middle;
                *(UNALIGNED *)(out[r] + start * PANEL_ROWS + i) = value;
                sums[r] = MULTIPLY_ADD(value, value, sums[r]);
            }
        }
        for (; i < width; i++)
            for (int r = 0; r < 4; r++) {
                float value = rows[r][start + i] * scales[r] - centre[i];
                out[r][start * PANEL_ROWS + i] = value;
                rest[r] += value * value;
            }
    }
    squares = FOUR_SUMS(sums[0], sums[1], sums[2], sums[3]) + rest;
    for (int r = 0; r < 4 && r < n; r++) {
        if (!cosine && !isfinite(squares[r]))
            NAME(is_finite)(search, rows[r], ids[r]);
        /* NaN where it is so large that the bound does not hold */
        worker->biases[place + r] = squares[r] < 1e30f ? squares[r] * (float)(0.5 - search->slack) : NAN;
    }
}

/* A pair that its product does not rule out; the last vector of queries may hold fewer. */
INLINE void NAME(consider)(jr_topk *search, jr_topk_worker *worker, int64_t query, float score, int64_t row)
{
    if (query >= search->count)
        return;
    const float limit = worker->limits[query];
    if (score <= limit) /* it may have fallen since */
        NAME(keep)(search, worker, query, score, row);
    else if (isnan(score) || isnan(limit))
        NAME(measure)(search, worker, query, row);
}

/* Products of one panel of rows with one or two vectors of queries, all dimensions, in registers; then which of
 * the pairs must be measured. */
INLINE void NAME(panel_product)(jr_topk *search, jr_topk_worker *worker, int64_t place, int64_t first_query,
                                const int vectors, int64_t panel_rows, int64_t first_row)
{
    const int64_t d = search->dimensions, stride = d * FLOAT_LANES;
    const float *panel = worker->scratch + (d + JR_SLICE - 1) / JR_SLICE * JR_SLICE * place;
    const float *biases = worker->biases + place;
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
    /* pairs that must be looked at, a bit each, as many rows of them as fit in a word: whether a bit of few comes next
     * processors guess wrong half the time */
    enum { PAIRS = 2 * FLOAT_LANES, ROWS = 64 / PAIRS };
    uint64_t masks[(PANEL_ROWS + ROWS - 1) / ROWS] = {0};
    VECTOR limits[2] = {*(const UNALIGNED *)(worker->limits + first_query), {0}};
    if (vectors == 2)
        limits[1] = *(const UNALIGNED *)(worker->limits + first_query + FLOAT_LANES);
#pragma GCC unroll 16
    for (int r = 0; r < PANEL_ROWS; r++)
        for (int v = 0; v < vectors; v++) {
            sums[r][v] = biases[r] - sums[r][v];
            masks[r / ROWS] |= (uint64_t)NOT_GREATER(sums[r][v], limits[v]) << (r % ROWS * PAIRS + v * FLOAT_LANES);
        }
    for (int64_t first = 0; first < panel_rows; first += ROWS) {
        uint64_t mask = masks[first / ROWS];
        if (panel_rows - first < ROWS)
            mask &= ((uint64_t)1 << (panel_rows - first) * PAIRS) - 1;
        for (; mask; mask &= mask - 1) {
            const int64_t pair = first * PAIRS + __builtin_ctzll(mask);
            float score;
            memcpy(&score, (const char *)sums + pair * (int64_t)sizeof score, sizeof score);
            NAME(consider)(search, worker, first_query + pair % PAIRS, score, first_row + pair / PAIRS);
        }
    }
}

TARGET static void NAME(two_vectors)(jr_topk *search, jr_topk_worker *worker, int64_t place, int64_t query,
                                     int64_t panel_rows, int64_t first_row)
{
    NAME(panel_product)(search, worker, place, query, 2, panel_rows, first_row);
}

TARGET static void NAME(one_vector)(jr_topk *search, jr_topk_worker *worker, int64_t place, int64_t query,
                                    int64_t panel_rows, int64_t first_row)
{
    NAME(panel_product)(search, worker, place, query, 1, panel_rows, first_row);
}

/* All queries against the rows from `first_row` to before `end`. */
INLINE void NAME(compare_panels)(jr_topk *search, jr_topk_worker *worker, int64_t first_row, int64_t end)
{
    const int64_t n = end - first_row;
    for (int64_t place = 0; place < n; place += 4) {
        int64_t rows = n - place < 4 ? n - place : 4;
        if (search->metric == JR_COSINE)
            NAME(pack_rows)(search, worker, first_row + place, place, rows, 1);
        else
            NAME(pack_rows)(search, worker, first_row + place, place, rows, 0);
    }
    if (atomic_load_explicit(&search->bad_row, memory_order_relaxed) >= 0)
        return;
    for (int64_t row = first_row; search->row_squares && row < end; row++)
        search->row_squares[row] = NAME(row_square)(search, search->rows + row * search->dimensions);
    for (int64_t query = 0; query < search->padded; query += 2 * FLOAT_LANES)
        for (int64_t place = 0; place < n; place += PANEL_ROWS) {
            const int64_t panel_rows = n - place < PANEL_ROWS ? n - place : PANEL_ROWS;
            if (query + FLOAT_LANES < search->padded)
                NAME(two_vectors)(search, worker, place, query, panel_rows, first_row + place);
            else
                NAME(one_vector)(search, worker, place, query, panel_rows, first_row + place);
        }
}
