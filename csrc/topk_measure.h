/* Exact distances, and the candidates that wait for them; part of topk_kernel.h. */

/* Sixteen running sums, element i always in sum i mod 16, then a fixed tree: the same bits on every machine. */
INLINE double NAME(tree_sum)(const DOUBLES *sums)
{
    DOUBLES part[ACCUMULATORS];
    memcpy(part, sums, sizeof part);
#pragma GCC unroll 4
    for (int width = ACCUMULATORS / 2; width; width /= 2)
#pragma GCC unroll 4
        for (int a = 0; a < width; a++)
            part[a] += part[a + width];
    double lane[DOUBLE_LANES];
    memcpy(lane, part, sizeof lane);
#pragma GCC unroll 4
    for (int width = DOUBLE_LANES / 2; width; width /= 2)
#pragma GCC unroll 4
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
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
 * last addition. */
INLINE void NAME(squared_distances)(const float *q, const float *const *x, int64_t d, const int rows, double *squares)
{
    DOUBLES sums[NEAR_ROWS][ACCUMULATORS] = {{{0}}};
    int64_t i = 0;
    for (; i + 16 <= d; i += 16)
        for (int r = 0; r < rows; r++)
            NAME(add_squares)(sums[r], q + i, x[r] + i);
    if (i < d) {
        float qt[16] = {0}, xt[16] = {0};
        memcpy(qt, q + i, (size_t)(d - i) * sizeof *q);
        for (int r = 0; r < rows; r++) {
            memcpy(xt, x[r] + i, (size_t)(d - i) * sizeof *q);
            NAME(add_squares)(sums[r], qt, xt);
        }
    }
    for (int r = 0; r < rows; r++)
        squares[r] = NAME(tree_sum)(sums[r]);
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

/* Cosines of a query to `rows` rows. */
INLINE void NAME(cosines)(const float *q, double query_square, const float *const *x, int64_t d, const int rows,
                          double *cosines)
{
    DOUBLES dots[NEAR_ROWS][ACCUMULATORS] = {{{0}}}, squares[NEAR_ROWS][ACCUMULATORS] = {{{0}}};
    int64_t i = 0;
    for (; i + 16 <= d; i += 16)
        for (int r = 0; r < rows; r++)
            NAME(add_products)(dots[r], squares[r], q + i, x[r] + i);
    if (i < d) {
        float qt[16] = {0}, xt[16] = {0};
        memcpy(qt, q + i, (size_t)(d - i) * sizeof *q);
        for (int r = 0; r < rows; r++) {
            memcpy(xt, x[r] + i, (size_t)(d - i) * sizeof *q);
            NAME(add_products)(dots[r], squares[r], qt, xt);
        }
    }
    for (int r = 0; r < rows; r++) {
        double square = NAME(tree_sum)(squares[r]);
        double c = square == 0.0 || query_square == 0.0 ? 0.0 : NAME(tree_sum)(dots[r]) / sqrt(query_square * square);
        cosines[r] = c > 1.0 ? 1.0 : c < -1.0 ? -1.0 : c;
    }
}

/* Measures `n` rows exactly, by their numbers among the rows at hand, and offers them. */
INLINE void NAME(measure_rows)(jr_topk *search, jr_topk_worker *worker, int64_t query, const int64_t *numbers,
                               const int n)
{
    const int64_t d = search->dimensions;
    const float *q = search->queries + query * d, *rows[NEAR_ROWS];
    const double query_square = search->query_squares[query];
    double values[NEAR_ROWS];
    for (int r = 0; r < n; r++)
        rows[r] = search->rows + numbers[r] * d;
    if (search->metric == JR_COSINE)
        NAME(cosines)(q, query_square, rows, d, n, values);
    else
        NAME(squared_distances)(q, rows, d, n, values);
    for (int r = 0; r < n; r++) {
        int64_t id = search->first_id + numbers[r];
        if (search->ids)
            id = search->ids[id];
        float distance, c = 0.0f;
        if (search->metric == JR_COSINE) {
            /* a grid of 2^-40 keeps rounding from telling scaled copies of one vector apart */
            distance = (float)(rint((1.0 - values[r]) * 0x1p40) * 0x1p-40);
            c = (float)values[r];
        } else {
            distance = (float)sqrt(values[r]);
        }
        if (!jr_topk_enters(worker, query, distance, id))
            continue;
        if (search->metric == JR_PAR) {
            double cosine;
            NAME(cosines)(q, query_square, &rows[r], d, 1, &cosine);
            c = (float)cosine;
        }
        jr_topk_offer(search, worker, query, distance, c, id);
    }
}

TARGET static void NAME(measure)(jr_topk *search, jr_topk_worker *worker, int64_t query, int64_t row)
{
    NAME(measure_rows)(search, worker, query, &row, 1);
}

/* Measures candidates exactly and offers them. */
TARGET static void NAME(measure_candidates)(jr_topk *search, jr_topk_worker *worker, int64_t query,
                                            const uint64_t *candidates, int64_t n)
{
    const int64_t d = search->dimensions, ahead = d < JR_PREFETCH_ROW ? d : JR_PREFETCH_ROW;
    int64_t c = 0;
    for (; c + NEAR_ROWS <= n; c += NEAR_ROWS) {
        int64_t numbers[NEAR_ROWS];
        for (int r = 0; r < NEAR_ROWS; r++)
            numbers[r] = jr_candidate_row(candidates[c + r]);
        for (int64_t next = c + NEAR_ROWS; next < n && next < c + 2 * NEAR_ROWS; next++)
            for (int64_t i = 0; i < ahead; i += 16)
                __builtin_prefetch(search->rows + jr_candidate_row(candidates[next]) * d + i);
        NAME(measure_rows)(search, worker, query, numbers, NEAR_ROWS);
    }
    for (; c < n; c++)
        NAME(measure)(search, worker, query, jr_candidate_row(candidates[c]));
}

/* Makes room among a query's candidates. Where the scores of most lie too close together for that, all are measured. */
TARGET static void NAME(make_room)(jr_topk *search, jr_topk_worker *worker, int64_t query)
{
    const int64_t room = jr_candidate_room(search->k);
    uint64_t *candidates = worker->candidates + query * room;
    const int64_t left = jr_topk_thin(search, worker, query, candidates, room, room / 4 * 3);
    if (left <= room / 4 * 3) {
        worker->candidate_counts[query] = left;
        return;
    }
    NAME(measure_candidates)(search, worker, query, candidates, left);
    worker->candidate_counts[query] = 0;
}

/* A pair with a rough score that is a number, and not above the query's limit. */
INLINE void NAME(keep)(jr_topk *search, jr_topk_worker *worker, int64_t query, float score, int64_t row)
{
    const int64_t room = jr_candidate_room(search->k), count = worker->candidate_counts[query]++;
    worker->candidates[query * room + count] = jr_candidate(score, row);
    if (count + 1 == room)
        NAME(make_room)(search, worker, query);
}

/* Measures what the threads have left of a query's candidates in the rows at hand. */
TARGET static void NAME(settle)(jr_topk *search, jr_topk_worker *worker, int64_t query)
{
    const int64_t room = jr_candidate_room(search->k);
    uint64_t *all = worker->all_candidates;
    int64_t n = 0;
    for (int w = 0; w < search->threads; w++) {
        int64_t count = search->workers[w].candidate_counts[query];
        memcpy(all + n, search->workers[w].candidates + query * room, (size_t)count * sizeof *all);
        n += count;
        search->workers[w].candidate_counts[query] = 0;
    }
    n = jr_topk_thin(search, worker, query, all, n, search->k);
    NAME(measure_candidates)(search, worker, query, all, n);
}
