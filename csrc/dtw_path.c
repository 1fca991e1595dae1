/* A cheapest warping path of one pair. */
#include "dtw_levels.h"

#define STRIP 64 /* frames of b whose costs are worked out together */

enum step { DIAGONAL, DOWN_A, ALONG_B };

typedef struct {
    const jr_dtw_level *level;
    const jr_dtw_sequences *a, *b;
    jr_dtw_band band;
    jr_dtw_panel panel;
    float *costs, *row;    /* (STRIP + slack, width), (frames of a) */
    const float **rows;
    float *row_squares;
    uint8_t *steps;        /* (frames of b, frames of a): how each cell was reached */
} path_job;

/* The same additions and minima in the same order as the kernels', so the same distance. */
static void next_row(path_job *job, int64_t j, const float *cost)
{
    int64_t frames = job->panel.frames[0];
    float *row = job->row, diagonal = j == 0 ? 0.0f : INFINITY, left = INFINITY;
    for (int64_t i = 0; i < frames; i++) {
        float above = row[i], best = diagonal;
        enum step step = DIAGONAL;
        if (above < best) {
            best = above;
            step = ALONG_B;
        }
        if (left < best) {
            best = left;
            step = DOWN_A;
        }
        left = i - j >= job->band.lowest && i - j <= job->band.highest ? cost[i] + best : INFINITY;
        row[i] = left;
        job->steps[j * frames + i] = (uint8_t)step;
        diagonal = above;
    }
}

static void strip_task(void *context, int64_t task, int worker)
{
    (void)worker; /* one thread: the strips depend on each other */
    path_job *job = context;
    int64_t from = task * STRIP, length = jr_dtw_length(job->b, 0);
    int64_t count = length - from < STRIP ? length - from : STRIP;
    for (int64_t r = 0; r < count; r++) {
        job->rows[r] = job->b->frames[0] + (from + r) * job->b->dimensions;
        job->row_squares[r] = job->b->squares[from + r];
    }
    job->level->costs(&job->panel, job->rows, job->row_squares, count, 0, job->panel.vectors, job->costs);
    for (int64_t r = 0; r < count; r++)
        next_row(job, from + r, job->costs + r * job->panel.width);
}

/* From the last cell back to the first, then turned round. */
static int64_t trace(const path_job *job, int64_t *path)
{
    int64_t frames = job->panel.frames[0], i = frames - 1, j = jr_dtw_length(job->b, 0) - 1, length = 0;
    for (;;) {
        path[2 * length] = i;
        path[2 * length + 1] = j;
        length++;
        if (i == 0 && j == 0)
            break;
        enum step step = job->steps[j * frames + i];
        i -= step != ALONG_B;
        j -= step != DOWN_A;
    }
    for (int64_t low = 0, high = length - 1; low < high; low++, high--)
        for (int c = 0; c < 2; c++) {
            int64_t kept = path[2 * low + c];
            path[2 * low + c] = path[2 * high + c];
            path[2 * high + c] = kept;
        }
    return length;
}

int jr_dtw_path(int level, const jr_dtw_sequences *a, const jr_dtw_sequences *b, int64_t window, float *distance,
                int64_t *path, int64_t *length, jr_watch watch, void *watcher)
{
    int64_t a_frames = jr_dtw_length(a, 0), b_frames = jr_dtw_length(b, 0);
    path_job job = {.level = jr_dtw_level_of(level), .a = a, .b = b};
    int status = JR_NO_MEMORY;
    job.band = jr_dtw_band_of(a_frames, b_frames, window);
    if (jr_dtw_panel_new(&job.panel, job.level, jr_dtw_vectors(job.level, a_frames), a->dimensions) != JR_OK)
        goto done;
    jr_dtw_panel_add(&job.panel, job.level, a->frames[0], a->squares, a_frames);
    job.costs = jr_dtw_allocate((size_t)(STRIP + JR_DTW_MAX_ROWS) * (size_t)job.panel.width * sizeof(float));
    job.row = jr_dtw_allocate((size_t)a_frames * sizeof(float));
    job.rows = jr_dtw_allocate((STRIP + JR_DTW_MAX_ROWS) * sizeof *job.rows);
    job.row_squares = jr_dtw_allocate((STRIP + JR_DTW_MAX_ROWS) * sizeof(float));
    job.steps = malloc((size_t)a_frames * (size_t)b_frames);
    if (!job.costs || !job.row || !job.rows || !job.row_squares || !job.steps)
        goto done;
    for (int64_t i = 0; i < a_frames; i++)
        job.row[i] = INFINITY;
    status = jr_parallel_for(1, (b_frames + STRIP - 1) / STRIP, strip_task, &job, watch, watcher);
    if (status == JR_OK) {
        *distance = job.row[a_frames - 1];
        *length = trace(&job, path);
    }
done:
    jr_dtw_panel_free(&job.panel);
    free(job.costs);
    free(job.row);
    free(job.rows);
    free(job.row_squares);
    free(job.steps);
    return status;
}
