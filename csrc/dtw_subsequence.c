/* Where a query lies in long sequences: dynamic programming that may start and end at any frame of the sequence. */
#include "dtw_levels.h"

#define STRIP 64 /* frames whose costs are worked out together */

/* What one worker needs. */
typedef struct {
    float *costs;          /* (STRIP + slack, width) */
    const float **rows;
    float *row_squares;
    uint64_t *row;         /* (query frames): the best match of query frames 0 .. i that ends at this frame */
    float *end_costs;      /* (longest): of the whole query ending at each frame; infinite inside a taken span */
    int64_t *end_starts;   /* (longest) */
    int64_t *oldest;       /* (longest): the earliest start that the row of this frame still depends on */
} workspace;

typedef struct {
    const jr_dtw_level *level;
    const jr_dtw_sequences *gallery;
    jr_dtw_panel panel;
    int64_t count;
    jr_dtw_span *spans;
    workspace *workspaces;
} subsequence_job;

/* A match as one number, less for what is better: the bits of its cost, which rise with it as no cost is negative,
 * then the frames of its start counted backwards, so that of equal costs the latest start is best. So the choices
 * below are minima of numbers, without branches to mispredict. */
static inline uint64_t match(float cost, uint32_t start)
{
    uint32_t bits;
    memcpy(&bits, &cost, sizeof bits);
    return (uint64_t)bits << 32 | ~start;
}

static inline float cost_of(uint64_t match)
{
    uint32_t bits = (uint32_t)(match >> 32);
    float cost;
    memcpy(&cost, &bits, sizeof cost);
    return cost;
}

static inline uint32_t start_of(uint64_t match) { return ~(uint32_t)match; }

static inline uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static void next_row(const subsequence_job *job, workspace *w, int64_t j, const float *cost)
{
    int64_t frames = job->panel.frames[0];
    uint64_t diagonal = w->row[0], left = match(cost[0], (uint32_t)j);
    uint32_t oldest = (uint32_t)j;
    w->row[0] = left;
    for (int64_t i = 1; i < frames; i++) {
        uint64_t above = w->row[i], best = least(least(above, diagonal), left);
        diagonal = above;
        left = w->row[i] = match(cost_of(best) + cost[i], start_of(best));
        oldest = start_of(left) < oldest ? start_of(left) : oldest;
    }
    w->end_costs[j] = cost_of(left);
    w->end_starts[j] = start_of(left);
    w->oldest[j] = oldest;
}

/* The rows of frames [from, to) when nothing may start before `from`; stops early where that no longer matters. */
static void fill_rows(const subsequence_job *job, workspace *w, int64_t sequence, int64_t from, int64_t to, int again)
{
    const jr_dtw_sequences *gallery = job->gallery;
    for (int64_t i = 0; i < job->panel.frames[0]; i++)
        w->row[i] = match(INFINITY, (uint32_t)from);
    for (int64_t strip = from; strip < to; strip += STRIP) {
        int64_t count = to - strip < STRIP ? to - strip : STRIP;
        for (int64_t r = 0; r < count; r++) {
            w->rows[r] = gallery->frames[sequence] + (strip + r) * gallery->dimensions;
            w->row_squares[r] = gallery->squares[gallery->offsets[sequence] + strip + r];
        }
        job->level->costs(&job->panel, w->rows, w->row_squares, count, 0, job->panel.vectors, w->costs);
        for (int64_t r = 0; r < count; r++) {
            if (again && w->oldest[strip + r] >= from)
                return; /* this row, and so all behind it, came out the same the first time */
            next_row(job, w, strip + r, w->costs + r * job->panel.width);
        }
    }
}

static void sequence_task(void *context, int64_t sequence, int worker)
{
    const subsequence_job *job = context;
    workspace *w = &job->workspaces[worker];
    jr_dtw_span *spans = job->spans + sequence * job->count;
    int64_t length = jr_dtw_length(job->gallery, sequence);
    for (int64_t n = 0; n < job->count; n++)
        spans[n] = (jr_dtw_span){-1, -1, INFINITY};
    fill_rows(job, w, sequence, 0, length, 0);
    for (int64_t n = 0; n < job->count; n++) {
        int64_t end = -1;
        for (int64_t j = 0; j < length; j++)
            if (w->end_costs[j] < INFINITY && (end < 0 || w->end_costs[j] < w->end_costs[end]))
                end = j;
        if (end < 0)
            return;
        spans[n] = (jr_dtw_span){w->end_starts[end], end + 1, w->end_costs[end]};
        if (n == job->count - 1)
            return;
        /* What ends before the span never reaches into it. What ends behind it may have started before its end. */
        int64_t next_taken = end + 1;
        for (int64_t j = spans[n].start; j <= end; j++)
            w->end_costs[j] = INFINITY;
        while (next_taken < length && w->oldest[next_taken] >= 0)
            next_taken++;
        for (int64_t j = spans[n].start; j <= end; j++)
            w->oldest[j] = -1; /* taken */
        fill_rows(job, w, sequence, end + 1, next_taken, 1);
    }
}

static int workspace_new(workspace *w, const jr_dtw_level *level, int64_t frames, int64_t longest)
{
    size_t width = ((size_t)frames + (size_t)level->lanes - 1) / (size_t)level->lanes * (size_t)level->lanes;
    size_t rows = STRIP + JR_DTW_MAX_ROWS;
    w->costs = jr_dtw_allocate(rows * width * sizeof(float));
    w->rows = jr_dtw_allocate(rows * sizeof *w->rows);
    w->row_squares = jr_dtw_allocate(rows * sizeof(float));
    w->row = jr_dtw_allocate((size_t)frames * sizeof *w->row);
    w->end_costs = jr_dtw_allocate((size_t)longest * sizeof(float));
    w->end_starts = jr_dtw_allocate((size_t)longest * sizeof(int64_t));
    w->oldest = jr_dtw_allocate((size_t)longest * sizeof(int64_t));
    return w->costs && w->rows && w->row_squares && w->row && w->end_costs && w->end_starts && w->oldest
        ? JR_OK : JR_NO_MEMORY;
}

static void workspace_free(workspace *w)
{
    free(w->costs);
    free(w->rows);
    free(w->row_squares);
    free(w->row);
    free(w->end_costs);
    free(w->end_starts);
    free(w->oldest);
}

int jr_dtw_subsequence(int level, const jr_dtw_sequences *query, const jr_dtw_sequences *gallery, int64_t count,
                       int threads, jr_dtw_span *spans, jr_watch watch, void *watcher)
{
    subsequence_job job = {.level = jr_dtw_level_of(level), .gallery = gallery, .count = count, .spans = spans};
    int64_t frames = jr_dtw_length(query, 0);
    int status = JR_NO_MEMORY;
    job.workspaces = calloc((size_t)threads, sizeof *job.workspaces);
    int64_t vectors = jr_dtw_vectors(job.level, frames);
    if (!job.workspaces || jr_dtw_panel_new(&job.panel, job.level, vectors, query->dimensions) != JR_OK)
        goto done;
    jr_dtw_panel_add(&job.panel, job.level, query->frames[0], query->squares, frames);
    for (int t = 0; t < threads; t++)
        if (workspace_new(&job.workspaces[t], job.level, frames, jr_dtw_longest(gallery)) != JR_OK)
            goto done;
    status = jr_parallel_for(threads, gallery->count, sequence_task, &job, watch, watcher);
done:
    for (int t = 0; job.workspaces && t < threads; t++)
        workspace_free(&job.workspaces[t]);
    free(job.workspaces);
    jr_dtw_panel_free(&job.panel);
    return status;
}
