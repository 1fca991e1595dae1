/* The candidates of queries: how they gather, and how those that are left are measured; part of topk_kernel.h. */

/* Lowers the limit of a query to what k of n > k candidates leave, and up to `most` as near. */
INLINE void NAME(lower_limit)(const jr_topk *search, jr_topk_worker *worker, int64_t query, const float *scores,
                              int64_t n, int64_t most)
{
    const float score = jr_score_of_rank(scores, n, search->k, most);
    jr_topk_lower_limit(search, worker, query, jr_topk_farthest(search, query, score));
}

/* Makes room among a query's candidates. Where the scores of most lie too close together for that, all are measured. */
TARGET static void NAME(make_room)(jr_topk *search, jr_topk_worker *worker, int64_t query)
{
    const int64_t k = search->k, room = jr_candidate_room(k);
    float *scores = worker->scores + query * room;
    uint32_t *rows = worker->rows + query * room;
    NAME(lower_limit)(search, worker, query, scores, room, k + k / 8);
    int64_t left = jr_copy_candidates(scores, rows, room, worker->limits[query], scores, rows);
    if (left > room / 4 * 3) {
        NAME(measure_candidates)(search, worker, query, rows, left);
        left = 0;
    }
    worker->counts[query] = left;
}

/* A pair with a rough score that is a number, and not above the query's limit. */
INLINE void NAME(keep)(jr_topk *search, jr_topk_worker *worker, int64_t query, float score, int64_t row)
{
    const int64_t room = jr_candidate_room(search->k), count = worker->counts[query]++;
    worker->scores[query * room + count] = score;
    worker->rows[query * room + count] = (uint32_t)row;
    if (count + 1 == room)
        NAME(make_room)(search, worker, query);
}

/* What the threads have left of a query's candidates: the numbers of their rows, which ascend in each thread's run, and
 * how many. */
TARGET static int64_t NAME(gather)(jr_topk *search, jr_topk_worker *worker, int64_t query, uint32_t *rows,
                                   jr_topk_run *runs)
{
    const int64_t room = jr_candidate_room(search->k);
    float *all = worker->all_scores;
    int64_t n = 0, left = 0;
    for (int w = 0; w < search->threads; w++) {
        const int64_t count = search->workers[w].counts[query];
        memcpy(all + n, search->workers[w].scores + query * room, (size_t)count * sizeof *all);
        n += count;
    }
    if (n > search->k)
        NAME(lower_limit)(search, worker, query, all, n, search->k);
    for (int w = 0; w < search->threads; w++) {
        jr_topk_worker *other = &search->workers[w];
        runs[w].at = left;
        left += jr_copy_candidates(other->scores + query * room, other->rows + query * room, other->counts[query],
                                   worker->limits[query], all + left, rows + left);
        other->counts[query] = 0;
        runs[w].end = left;
    }
    return left;
}

/* Measures what is left of the candidates of the queries from `query` to before `end`. */
TARGET static void NAME(settle)(jr_topk *search, jr_topk_worker *worker, int64_t query, int64_t end)
{
    const int64_t room = search->threads * jr_candidate_room(search->k);
    for (int64_t q = 0; q < end - query; q++) {
        uint32_t *rows = worker->group_rows + q * room;
        const int64_t n = NAME(gather)(search, worker, query + q, rows, worker->group_runs + q * search->threads);
        if (!search->row_squares)
            NAME(measure_candidates)(search, worker, query + q, rows, n);
    }
    if (search->row_squares)
        NAME(measure_together)(search, worker, query, end);
}
