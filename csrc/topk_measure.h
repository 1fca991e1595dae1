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

TARGET static double NAME(squared_distance)(const float *q, const float *x, int64_t d)
{
    double square;
    NAME(squared_distances)(q, &x, d, 1, &square);
    return square;
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

/* Offers a pair, whose squared distance is only asked for where the metric has one. */
INLINE void NAME(offer)(jr_topk *search, jr_topk_worker *worker, int64_t query, const float *x, double square, int64_t id)
{
    const int64_t d = search->dimensions;
    const float *q = search->queries + query * d;
    const double query_square = search->query_squares[query];
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
    float distance = (float)sqrt(square);
    if (jr_topk_enters(worker, query, distance, id)) {
        float c = search->metric == JR_PAR ? (float)NAME(cosine)(q, query_square, x, d) : 0.0f;
        jr_topk_offer(search, worker, query, distance, c, id);
    }
}

/* Measures one pair exactly and offers it. */
TARGET static void NAME(measure)(jr_topk *search, jr_topk_worker *worker, int64_t query, const float *x, int64_t id)
{
    double square = 0.0;
    if (search->metric != JR_COSINE)
        square = NAME(squared_distance)(search->queries + query * search->dimensions, x, search->dimensions);
    NAME(offer)(search, worker, query, x, square, id);
}

/* Measures candidates exactly and offers them. */
TARGET static void NAME(measure_candidates)(jr_topk *search, jr_topk_worker *worker, int64_t query,
                                            const uint64_t *candidates, int64_t n)
{
    const int64_t d = search->dimensions, ahead = d < JR_PREFETCH_ROW ? d : JR_PREFETCH_ROW;
    int64_t c = 0;
    if (search->metric != JR_COSINE)
        for (; c + NEAR_ROWS <= n; c += NEAR_ROWS) {
            for (int64_t next = c + NEAR_ROWS; next < n && next < c + 2 * NEAR_ROWS; next++)
                for (int64_t i = 0; i < ahead; i += 16)
                    __builtin_prefetch(search->rows + jr_candidate_row(candidates[next]) * d + i);
            const float *rows[NEAR_ROWS];
            double squares[NEAR_ROWS];
            for (int r = 0; r < NEAR_ROWS; r++)
                rows[r] = search->rows + jr_candidate_row(candidates[c + r]) * d;
            NAME(squared_distances)(search->queries + query * d, rows, d, NEAR_ROWS, squares);
            for (int r = 0; r < NEAR_ROWS; r++)
                NAME(offer)(search, worker, query, rows[r], squares[r],
                            search->first_id + jr_candidate_row(candidates[c + r]));
        }
    for (; c < n; c++) {
        int64_t row = jr_candidate_row(candidates[c]);
        NAME(measure)(search, worker, query, search->rows + row * d, search->first_id + row);
    }
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
