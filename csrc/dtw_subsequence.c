/* Where a query lies in long sequences: dynamic programming that may start and end at any frame of the sequence. */
#include "dtw_levels.h"

#define STRIP 64 /* frames whose costs are worked out together */

/* What one worker needs. */
typedef struct {
    float *costs;          /* (STRIP + slack, width) */
    const float **rows;
    float *row_squares;
    float *row;            /* (query frames): cheapest cost of matching query frames 0 .. i up to this frame */
    int64_t *starts;       /* (query frames): where that match starts, the latest of equals */
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

static void next_row(const subsequence_job *job, workspace *w, int64_t j, const float *cost)
{
    int64_t frames = job->panel.frames, oldest = j;
    float diagonal = w->row[0], left = cost[0];
    int64_t diagonal_start = w->starts[0], left_start = j;
    w->row[0] = left;
    w->starts[0] = j;
    for (int64_t i = 1; i < frames; i++) {
        float above = w->row[i], best = diagonal;
        int64_t above_start = w->starts[i], start = diagonal_start;
        if (above < best || (above == best && above_start > start)) {
            best = above;
            start = above_start;
        }
        if (left < best || (left == best && left_start > start)) {
            best = left;
            start = left_start;
        }
        diagonal = above;
        diagonal_start = above_start;
        left = w->row[i] = cost[i] + best;
        left_start = w->starts[i] = start;
        oldest = start < oldest ? start : oldest;
    }
    w->end_costs[j] = left;
    w->end_starts[j] = left_start;
    w->oldest[j] = oldest;
}

/* The rows of frames [from, to) when nothing may start before `from`; stops early where that no longer matters. */
static void fill_rows(const subsequence_job *job, workspace *w, int64_t sequence, int64_t from, int64_t to, int again)
{
    const jr_dtw_sequences *gallery = job->gallery;
    for (int64_t i = 0; i < job->panel.frames; i++) {
        w->row[i] = INFINITY;
        w->starts[i] = from;
    }
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
    w->row = jr_dtw_allocate((size_t)frames * sizeof(float));
    w->starts = jr_dtw_allocate((size_t)frames * sizeof(int64_t));
    w->end_costs = jr_dtw_allocate((size_t)longest * sizeof(float));
    w->end_starts = jr_dtw_allocate((size_t)longest * sizeof(int64_t));
    w->oldest = jr_dtw_allocate((size_t)longest * sizeof(int64_t));
    return w->costs && w->rows && w->row_squares && w->row && w->starts && w->end_costs && w->end_starts && w->oldest
        ? JR_OK : JR_NO_MEMORY;
}

static void workspace_free(workspace *w)
{
    free(w->costs);
    free(w->rows);
    free(w->row_squares);
    free(w->row);
    free(w->starts);
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
    if (!job.workspaces || jr_dtw_panel_new(&job.panel, job.level, frames, query->dimensions) != JR_OK)
        goto done;
    jr_dtw_panel_fill(&job.panel, job.level, query->frames[0], query->squares, frames);
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
