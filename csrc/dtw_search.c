/* The k nearest sequences by DTW: bounds from means first, then the most promising are measured in rounds.
 *
 * Within a round the limit (the k-th distance so far) stands still, and the sizes of rounds are fixed; so what is
 * pruned, and not only what is found, is the same for any number of threads.
 */
#include "dtw_levels.h"
#include "dtw_ranking.h"

#define BOUND_BLOCK 1024 /* gallery sequences of one task of bounds */
#define BLOCK 64         /* and of one task of measuring, at most */
#define FIRST_ROUND 16
#define LARGEST_ROUND 4096

enum fate { MEASURED, BY_SEGMENTS, ABANDONED };

/* What one worker needs to measure. */
typedef struct {
    jr_dtw_scratch dtw;
    const float **rows;   /* (JR_DTW_BOUND_ROWS + slack) */
    float *products;      /* (JR_DTW_BOUND_ROWS + slack, width) */
    const float **means;  /* (segments of BLOCK sequences) */
    float *squares, *gaps; /* the same; gaps become the bounds of the segments behind */
} workspace;

typedef struct {
    const jr_dtw_level *level;
    const jr_dtw_sequences *queries, *gallery;
    int64_t k, window, longest_query, longest, block;
    int reverse, prune, threads;
    int64_t *ids;
    float *distances;
    jr_dtw_pruning *pruning;
    workspace *workspaces; /* (threads) */
} search;

/* The state of one query. */
typedef struct {
    const search *of;
    int worker;            /* >= 0: all of it runs on this worker; < 0: each step uses all threads */
    jr_watch watch;
    void *watcher;
    int64_t query, frames;
    jr_dtw_panel panel;
    jr_dtw_bounds bounds;
    jr_dtw_candidate *candidates; /* (gallery) */
    jr_dtw_best best;
    double keep;           /* share of a bound that is left after the rounding of the distances */
    /* the round that is being measured */
    int64_t round_size;
    int64_t *members;      /* (largest round) by length */
    float *measured;       /* the same */
    uint8_t *fates;
    float limit;
    int use_segments;
} query_state;

/* ---- steps, each a task of some gallery sequences ---- */

/* Reports in gallery sequences dealt with, over all queries. */
static int relay(void *watcher, int64_t done, int64_t total)
{
    (void)done, (void)total; /* of one step, which says little */
    const query_state *q = watcher;
    const jr_dtw_pruning *p = &q->of->pruning[q->query];
    int64_t gallery = q->of->gallery->count;
    int64_t dealt_with = p->by_mean + p->by_segments + p->abandoned + p->measured;
    return q->watch(q->watcher, q->query * gallery + dealt_with, q->of->queries->count * gallery);
}

static int run(query_state *q, int64_t tasks, jr_task task)
{
    if (q->worker < 0)
        return jr_parallel_for(q->of->threads, tasks, task, q, q->watch ? relay : NULL, q);
    for (int64_t t = 0; t < tasks; t++)
        task(q, t, q->worker);
    return JR_OK;
}

static void bound_task(void *context, int64_t task, int worker)
{
    query_state *q = context;
    const jr_dtw_sequences *gallery = q->of->gallery;
    workspace *w = &q->of->workspaces[worker];
    int64_t end = (task + 1) * BOUND_BLOCK < gallery->count ? (task + 1) * BOUND_BLOCK : gallery->count;
    for (int64_t from = task * BOUND_BLOCK; from < end; from += JR_DTW_BOUND_ROWS) {
        int64_t count = end - from < JR_DTW_BOUND_ROWS ? end - from : JR_DTW_BOUND_ROWS;
        const float *means[JR_DTW_BOUND_ROWS];
        float gaps[JR_DTW_BOUND_ROWS], balls[JR_DTW_BOUND_ROWS];
        int longer_query = 0;
        for (int64_t i = 0; i < count; i++) {
            means[i] = gallery->means + (from + i) * gallery->dimensions;
            longer_query |= q->frames > jr_dtw_length(gallery, from + i);
        }
        jr_dtw_bound_means(&q->bounds, q->of->level, means, gallery->mean_squares + from,
                           longer_query ? gallery->radii + from : NULL, count, w->rows, w->products, gaps, balls);
        for (int64_t i = 0; i < count; i++) {
            double bound = (double)gaps[i] * gaps[i] * (double)jr_dtw_length(gallery, from + i);
            if (longer_query && balls[i] > bound)
                bound = balls[i];
            q->candidates[from + i] = (jr_dtw_candidate){(float)(bound * q->keep), from + i};
        }
    }
}

/* The bounds of the segments of sequences `members`: gaps[s] becomes a bound on all segments behind s of the same
 * sequence, totals[i] on the whole of sequence i. */
static void bound_segments(const query_state *q, workspace *w, const int64_t *members, int count, float *totals,
                           const float **rest)
{
    const jr_dtw_sequences *gallery = q->of->gallery;
    int64_t rows = 0;
    for (int i = 0; i < count; i++)
        for (int64_t s = gallery->segment_offsets[members[i]]; s < gallery->segment_offsets[members[i] + 1]; s++, rows++) {
            w->means[rows] = gallery->segment_means + s * gallery->dimensions;
            w->squares[rows] = gallery->segment_squares[s];
        }
    jr_dtw_bound_means(&q->bounds, q->of->level, w->means, w->squares, NULL, rows, w->rows, w->products, w->gaps, NULL);
    for (int i = count - 1; i >= 0; i--) {
        int64_t frames = jr_dtw_length(gallery, members[i]);
        int64_t segments = (frames + JR_DTW_SEGMENT - 1) / JR_DTW_SEGMENT;
        double behind = 0;
        for (int64_t s = segments - 1; s >= 0; s--) {
            int64_t in_segment = s == segments - 1 ? frames - s * JR_DTW_SEGMENT : JR_DTW_SEGMENT;
            float *gap = &w->gaps[--rows];
            double bound = (double)*gap * *gap * (double)in_segment * q->keep;
            *gap = (float)(behind * (1 - 1e-6));
            behind += bound;
        }
        rest[i] = &w->gaps[rows];
        totals[i] = (float)(behind * (1 - 1e-6));
    }
}

static void measure_task(void *context, int64_t task, int worker)
{
    query_state *q = context;
    const search *s = q->of;
    workspace *w = &s->workspaces[worker];
    const int64_t *members = q->members + task * s->block;
    int64_t left = q->round_size - task * s->block;
    int count = (int)(left < s->block ? left : s->block);
    float *measured = q->measured + task * s->block;
    uint8_t *fates = q->fates + task * s->block;
    float totals[BLOCK] = {0};
    const float *rest[BLOCK] = {0};
    if (q->use_segments)
        bound_segments(q, w, members, count, totals, rest);

    int64_t chosen[JR_DTW_MAX_LANES];
    int place[JR_DTW_MAX_LANES], size = 0;
    const float *chosen_rest[JR_DTW_MAX_LANES];
    for (int i = 0; i < count; i++) {
        if (totals[i] > q->limit) {
            fates[i] = BY_SEGMENTS;
        } else {
            chosen[size] = members[i];
            chosen_rest[size] = rest[i];
            place[size++] = i;
        }
        if (size == s->level->lanes || (i == count - 1 && size > 0)) {
            float found[JR_DTW_MAX_LANES];
            jr_dtw_group group = {s->gallery, chosen, size, s->window, s->reverse, q->limit,
                                  q->use_segments ? chosen_rest : NULL};
            s->level->group(&q->panel, &group, &w->dtw, found);
            for (int c = 0; c < size; c++) {
                measured[place[c]] = found[c];
                fates[place[c]] = found[c] < INFINITY ? MEASURED : ABANDONED;
            }
            size = 0;
        }
    }
}

/* ---- rounds ---- */

static int measure(query_state *q, const jr_dtw_candidate *candidates, int64_t count)
{
    jr_dtw_pruning *pruning = &q->of->pruning[q->query];
    for (int64_t i = 0; i < count; i++)
        q->members[i] = candidates[i].id;
    jr_dtw_sort_by_length(q->of->gallery, q->members, count);
    q->round_size = count;
    q->limit = q->of->prune ? jr_dtw_limit(&q->best) : INFINITY;
    int status = run(q, (count + q->of->block - 1) / q->of->block, measure_task);
    if (status != JR_OK)
        return status;
    int64_t ruled_out = 0;
    for (int64_t i = 0; i < count; i++) {
        pruning->by_segments += q->fates[i] == BY_SEGMENTS;
        pruning->abandoned += q->fates[i] == ABANDONED;
        pruning->measured += q->fates[i] == MEASURED;
        ruled_out += q->fates[i] != MEASURED;
        if (q->fates[i] == MEASURED)
            jr_dtw_offer(&q->best, q->measured[i], q->members[i]);
    }
    /* Segments cost about an eighth of measuring: not worth it where less than that is ruled out. */
    if (q->limit < INFINITY)
        q->use_segments = q->use_segments && ruled_out * 8 >= count;
    return JR_OK;
}

static int search_rounds(query_state *q)
{
    const search *s = q->of;
    jr_dtw_candidate *c = q->candidates;
    int64_t left = s->gallery->count, size = (s->k + FIRST_ROUND - 1) / FIRST_ROUND * FIRST_ROUND;
    int status = run(q, (left + BOUND_BLOCK - 1) / BOUND_BLOCK, bound_task);
    if (status != JR_OK)
        return status;
    size = size < left ? size : left;
    q->use_segments = 0;
    jr_dtw_select_first(c, left, size);
    status = measure(q, c, size);
    c += size;
    left -= size;

    int64_t kept = 0;
    float limit = jr_dtw_limit(&q->best);
    for (int64_t i = 0; i < left; i++)
        if (c[i].bound <= limit)
            c[kept++] = c[i];
    s->pruning[q->query].by_mean += left - kept;
    qsort(c, (size_t)kept, sizeof *c, jr_dtw_compare_candidates);
    q->use_segments = 1;
    for (size = 2 * FIRST_ROUND; status == JR_OK && kept > 0; size = 2 * size < LARGEST_ROUND ? 2 * size : LARGEST_ROUND) {
        limit = jr_dtw_limit(&q->best);
        int64_t count = 0;
        while (count < kept && count < size && c[count].bound <= limit)
            count++;
        if (count == 0)
            break;
        status = measure(q, c, count);
        c += count;
        kept -= count;
    }
    s->pruning[q->query].by_mean += kept;
    return status;
}

static int search_all(query_state *q)
{
    int status = JR_OK;
    q->use_segments = 0;
    for (int64_t from = 0; status == JR_OK && from < q->of->gallery->count; from += LARGEST_ROUND) {
        int64_t count = q->of->gallery->count - from < LARGEST_ROUND ? q->of->gallery->count - from : LARGEST_ROUND;
        for (int64_t i = 0; i < count; i++)
            q->candidates[i] = (jr_dtw_candidate){0, from + i};
        status = measure(q, q->candidates, count);
    }
    return status;
}

static int search_query(query_state *q, int64_t query)
{
    const search *s = q->of;
    const float *frames = s->queries->frames[query];
    q->query = query;
    q->frames = jr_dtw_length(s->queries, query);
    q->best.found = 0;
    memset(&s->pruning[query], 0, sizeof s->pruning[query]);
    jr_dtw_panel_clear(&q->panel);
    jr_dtw_panel_add(&q->panel, s->level, frames, s->queries->squares + s->queries->offsets[query], q->frames);
    int status;
    if (s->prune) {
        double dimensions = (double)s->gallery->dimensions;
        /* A distance from the matrix product may be too small by this share (see JR_DTW_CANCELLED). */
        double terms = (JR_DTW_DEPTH + dimensions / JR_DTW_DEPTH + dimensions / 16 + 16) / JR_DTW_CANCELLED;
        q->keep = 1 - 2 * (terms + (double)(q->frames + s->longest)) * 0x1p-24;
        q->keep = q->keep > 0 ? q->keep : 0;
        jr_dtw_bounds_fill(&q->bounds, s->level, frames, q->frames, s->gallery->centre);
        status = search_rounds(q);
    } else {
        status = search_all(q);
    }
    jr_dtw_take(&q->best, s->ids + query * s->k, s->distances + query * s->k);
    return status;
}

/* ---- memory, and who works on what ---- */

static int workspace_new(workspace *w, const search *s)
{
    size_t width = ((size_t)s->longest_query + JR_DTW_MAX_LANES) / JR_DTW_MAX_LANES * JR_DTW_MAX_LANES;
    size_t rows = JR_DTW_BOUND_ROWS + JR_DTW_MAX_ROWS;
    size_t segments = ((size_t)s->longest + JR_DTW_SEGMENT - 1) / JR_DTW_SEGMENT * BLOCK;
    w->rows = jr_dtw_allocate(rows * sizeof *w->rows);
    w->products = jr_dtw_allocate(rows * width * sizeof(float));
    w->means = jr_dtw_allocate(segments * sizeof *w->means);
    w->squares = jr_dtw_allocate(segments * sizeof(float));
    w->gaps = jr_dtw_allocate(segments * sizeof(float));
    if (jr_dtw_scratch_new(&w->dtw, s->level, jr_dtw_vectors(s->level, s->longest_query)) != JR_OK)
        return JR_NO_MEMORY;
    return w->rows && w->products && w->means && w->squares && w->gaps ? JR_OK : JR_NO_MEMORY;
}

static void workspace_free(workspace *w)
{
    jr_dtw_scratch_free(&w->dtw);
    free(w->rows);
    free(w->products);
    free(w->means);
    free(w->squares);
    free(w->gaps);
}

static int state_new(query_state *q, const search *s)
{
    size_t round = (size_t)s->k + FIRST_ROUND > LARGEST_ROUND ? (size_t)s->k + FIRST_ROUND : LARGEST_ROUND;
    size_t gallery = (size_t)s->gallery->count;
    round = round < gallery ? round : gallery;
    q->of = s;
    q->candidates = malloc((s->prune ? gallery : round) * sizeof *q->candidates);
    q->members = malloc(round * sizeof *q->members);
    q->measured = malloc(round * sizeof *q->measured);
    q->fates = malloc(round);
    int64_t vectors = jr_dtw_vectors(s->level, s->longest_query);
    if (jr_dtw_best_new(&q->best, s->k) != JR_OK
        || jr_dtw_panel_new(&q->panel, s->level, vectors, s->queries->dimensions) != JR_OK
        || (s->prune && jr_dtw_bounds_new(&q->bounds, s->level, s->longest_query, s->queries->dimensions) != JR_OK))
        return JR_NO_MEMORY;
    return q->candidates && q->members && q->measured && q->fates ? JR_OK : JR_NO_MEMORY;
}

static void state_free(query_state *q)
{
    free(q->candidates);
    free(q->members);
    free(q->measured);
    free(q->fates);
    jr_dtw_best_free(&q->best);
    jr_dtw_panel_free(&q->panel);
    if (q->of && q->of->prune)
        jr_dtw_bounds_free(&q->bounds);
}

static void query_task(void *context, int64_t task, int worker)
{
    query_state *q = (query_state *)context + worker;
    q->worker = worker;
    search_query(q, task);
}

int jr_dtw_search(int level, const jr_dtw_sequences *queries, const jr_dtw_sequences *gallery, int64_t k,
                  int64_t window, int reverse, int prune, int threads, int64_t *ids, float *distances,
                  jr_dtw_pruning *pruning, jr_watch watch, void *watcher)
{
    search s = {.level = jr_dtw_level_of(level),
                .queries = queries,
                .gallery = gallery,
                .k = k,
                .window = window,
                .longest_query = jr_dtw_longest(queries),
                .longest = jr_dtw_longest(gallery),
                .reverse = reverse,
                .prune = prune,
                .threads = threads,
                .ids = ids,
                .distances = distances,
                .pruning = pruning};
    s.block = jr_dtw_block(BLOCK, s.longest_query, gallery);
    /* Many queries over a small gallery: one thread each. Else all threads share each query, step by step, and
     * the watch is asked within the query. */
    int alone = threads > 1 && queries->count >= 2 * threads && gallery->count <= 16 * LARGEST_ROUND;
    int states = alone ? threads : 1, status = JR_NO_MEMORY;
    query_state *q = calloc((size_t)states, sizeof *q);
    s.workspaces = calloc((size_t)threads, sizeof *s.workspaces);
    if (!q || !s.workspaces)
        goto done;
    for (int t = 0; t < threads; t++)
        if (workspace_new(&s.workspaces[t], &s) != JR_OK)
            goto done;
    for (int t = 0; t < states; t++)
        if (state_new(&q[t], &s) != JR_OK)
            goto done;
    if (alone) {
        status = jr_parallel_for(threads, queries->count, query_task, q, watch, watcher);
    } else {
        q->worker = -1;
        q->watch = watch;
        q->watcher = watcher;
        status = JR_OK;
        for (int64_t query = 0; status == JR_OK && query < queries->count; query++)
            status = search_query(q, query);
    }
done:
    for (int t = 0; q && t < states; t++)
        state_free(&q[t]);
    for (int t = 0; s.workspaces && t < threads; t++)
        workspace_free(&s.workspaces[t]);
    free(q);
    free(s.workspaces);
    return status;
}
