/* What a search wants to know about sequences beforehand: norms, and means for the lower bounds. */
#include "dtw_levels.h"

#define BLOCK 64 /* sequences of one task */
#define SAMPLE 256

typedef struct {
    jr_dtw_sequences *sequences;
    int64_t *bad;    /* (tasks): first bad sequence of the task, or -1 */
    double *sums;    /* (threads, 2, dimensions) */
} prepare_job;

/* Sixteen running sums, element k always in sum k mod 16, then a fixed tree: the same bits on every machine. */
float jr_dtw_square(const float *x, int64_t dimensions)
{
    float sum[16] = {0};
    int64_t k = 0;
    for (; k + 16 <= dimensions; k += 16)
        for (int lane = 0; lane < 16; lane++)
            sum[lane] += x[k + lane] * x[k + lane];
    for (int lane = 0; k + lane < dimensions; lane++)
        sum[lane] += x[k + lane] * x[k + lane];
    for (int width = 8; width; width /= 2)
        for (int lane = 0; lane < width; lane++)
            sum[lane] += sum[lane + width];
    return sum[0];
}

/* `sum` / count as float, and the squared norm of that. */
static float store_mean(const double *sum, int64_t count, int64_t dimensions, float *mean)
{
    for (int64_t k = 0; k < dimensions; k++)
        mean[k] = (float)(sum[k] / (double)count);
    return jr_dtw_square(mean, dimensions);
}

/* At least the largest distance of a frame, less the centre, from `mean`. */
static float radius_of(const float *frames, int64_t count, const float *mean, float mean_square, const float *centre,
                       int64_t dimensions, float *difference)
{
    float largest = 0;
    for (int64_t j = 0; j < count; j++) {
        for (int64_t k = 0; k < dimensions; k++)
            difference[k] = (frames[j * dimensions + k] - centre[k]) - mean[k];
        float square = jr_dtw_square(difference, dimensions);
        largest = square > largest ? square : largest;
    }
    /* The subtractions round by the size of what is subtracted, the sum by its terms. */
    double rounding = ((double)dimensions / 16 + 16) * 0x1p-24;
    return (float)((sqrt(largest) + 0x1p-21 * sqrt(mean_square)) * (1 + rounding));
}

static void summarise(jr_dtw_sequences *s, int64_t sequence, double *segment, double *whole)
{
    const int64_t dimensions = s->dimensions, frames = jr_dtw_length(s, sequence);
    const float *frame = s->frames[sequence];
    int64_t at = s->segment_offsets[sequence];
    memset(whole, 0, (size_t)dimensions * sizeof *whole);
    for (int64_t j = 0; j < frames; j += JR_DTW_SEGMENT, at++) {
        int64_t count = frames - j < JR_DTW_SEGMENT ? frames - j : JR_DTW_SEGMENT;
        memset(segment, 0, (size_t)dimensions * sizeof *segment);
        for (int64_t r = 0; r < count; r++)
            for (int64_t k = 0; k < dimensions; k++)
                segment[k] += (double)frame[(j + r) * dimensions + k] - s->centre[k];
        for (int64_t k = 0; k < dimensions; k++)
            whole[k] += segment[k];
        s->segment_squares[at] = store_mean(segment, count, dimensions, s->segment_means + at * dimensions);
    }
    float *mean = s->means + sequence * dimensions;
    s->mean_squares[sequence] = store_mean(whole, frames, dimensions, mean);
    s->radii[sequence] = radius_of(frame, frames, mean, s->mean_squares[sequence], s->centre, dimensions, (float *)segment);
}

static void prepare_task(void *context, int64_t task, int worker)
{
    prepare_job *job = context;
    jr_dtw_sequences *s = job->sequences;
    double *sums = job->sums ? job->sums + (int64_t)worker * 2 * s->dimensions : NULL;
    int64_t to = (task + 1) * BLOCK < s->count ? (task + 1) * BLOCK : s->count;
    job->bad[task] = -1;
    for (int64_t sequence = task * BLOCK; sequence < to; sequence++) {
        for (int64_t j = 0; j < jr_dtw_length(s, sequence); j++) {
            float square = jr_dtw_square(s->frames[sequence] + j * s->dimensions, s->dimensions);
            s->squares[s->offsets[sequence] + j] = square;
            if (!(square <= JR_DTW_LARGEST_SQUARE)) {
                job->bad[task] = sequence;
                return;
            }
        }
        if (s->centre)
            summarise(s, sequence, sums, sums + s->dimensions);
    }
}

/* Any centre gives valid bounds; one amid the data keeps them from cancelling. So a sample of frames will do. */
static void find_centre(const jr_dtw_sequences *s, double *sum)
{
    int64_t step = (s->count + SAMPLE - 1) / SAMPLE, count = 0;
    memset(sum, 0, (size_t)s->dimensions * sizeof *sum);
    for (int64_t sequence = 0; sequence < s->count; sequence += step, count++) {
        const float *middle = s->frames[sequence] + jr_dtw_length(s, sequence) / 2 * s->dimensions;
        for (int64_t k = 0; k < s->dimensions; k++)
            sum[k] += middle[k];
    }
    for (int64_t k = 0; k < s->dimensions; k++) {
        /* What is not finite, or too large, is reported with its sequence by prepare_task. */
        double mean = sum[k] / (double)count;
        s->centre[k] = fabs(mean) <= 1e30 ? (float)mean : 0.0f;
    }
}

int jr_dtw_prepare(jr_dtw_sequences *sequences, int threads, int64_t *bad, jr_watch watch, void *watcher)
{
    int64_t tasks = (sequences->count + BLOCK - 1) / BLOCK;
    prepare_job job = {.sequences = sequences, .bad = malloc((size_t)tasks * sizeof *job.bad)};
    int status = JR_NO_MEMORY;
    *bad = -1;
    if (!job.bad)
        goto done;
    if (sequences->centre) {
        job.sums = malloc((size_t)threads * 2 * (size_t)sequences->dimensions * sizeof *job.sums);
        if (!job.sums)
            goto done;
        find_centre(sequences, job.sums);
    }
    status = jr_parallel_for(threads, tasks, prepare_task, &job, watch, watcher);
    for (int64_t task = 0; status == JR_OK && task < tasks; task++)
        if (job.bad[task] >= 0) {
            *bad = job.bad[task];
            status = JR_STOPPED;
        }
done:
    free(job.bad);
    free(job.sums);
    return status;
}
