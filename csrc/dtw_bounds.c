/* Lower bounds on DTW from means of gallery frames, without the matrix product of all frames with all frames.
 *
 * Every gallery frame b of a segment is matched to some query frame a. By Jensen's inequality the squared
 * distances of n frames add up to at least n times the squared distance of their mean m to the mean of the frames
 * they are matched to, and that mean, whatever the path, lies in the convex hull of the query's frames. How far m
 * is from the hull is bounded by projecting on the line from the query's mean p to m:
 *     distance >= min over a of (m - p) . (m - a) / |m - p|.
 * So one product of m with the query's frames bounds a whole sequence; segments bound it more tightly and add up.
 *
 * Where the gallery sequence is the shorter one, the query's frames are counted instead: each is matched to a
 * frame in the ball around m that holds the sequence.
 *
 * All is done less a centre of the gallery, so that nothing cancels, and with the rounding errors taken off.
 */
#include "dtw_levels.h"

int jr_dtw_bounds_new(jr_dtw_bounds *bounds, const jr_dtw_level *level, int64_t frames, int64_t dimensions)
{
    memset(bounds, 0, sizeof *bounds);
    if (jr_dtw_panel_new(&bounds->panel, level, jr_dtw_vectors(level, frames), dimensions) != JR_OK)
        return JR_NO_MEMORY;
    bounds->mean = jr_dtw_allocate((size_t)dimensions * sizeof *bounds->mean);
    bounds->frames = jr_dtw_allocate((size_t)frames * (size_t)dimensions * sizeof(float));
    bounds->squares = jr_dtw_allocate((size_t)frames * sizeof(float));
    bounds->along_mean = jr_dtw_allocate((size_t)frames * sizeof(float));
    return bounds->mean && bounds->frames && bounds->squares && bounds->along_mean ? JR_OK : JR_NO_MEMORY;
}

void jr_dtw_bounds_free(jr_dtw_bounds *bounds)
{
    jr_dtw_panel_free(&bounds->panel);
    free(bounds->mean);
    free(bounds->frames);
    free(bounds->squares);
    free(bounds->along_mean);
}

/* In eight running sums, which fit vectors. */
static double product(const double *a, const float *b, int64_t dimensions)
{
    double sum[8] = {0};
    int64_t k = 0;
    for (; k + 8 <= dimensions; k += 8)
        for (int part = 0; part < 8; part++)
            sum[part] += a[k + part] * b[k + part];
    for (; k < dimensions; k++)
        sum[0] += a[k] * b[k];
    return (sum[0] + sum[4]) + (sum[1] + sum[5]) + (sum[2] + sum[6]) + (sum[3] + sum[7]);
}

void jr_dtw_bounds_fill(jr_dtw_bounds *bounds, const jr_dtw_level *level, const float *frames, int64_t count,
                        const float *centre)
{
    int64_t dimensions = bounds->panel.dimensions;
    double *mean = bounds->mean;
    memset(mean, 0, (size_t)dimensions * sizeof *mean);
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < dimensions; k++) {
            float value = frames[i * dimensions + k] - centre[k];
            bounds->frames[i * dimensions + k] = value;
            mean[k] += value;
        }
    bounds->mean_square = bounds->largest = 0;
    bounds->rounding = (JR_DTW_DEPTH + dimensions / JR_DTW_DEPTH + dimensions / 16 + count + 32) * 0x1p-24;
    for (int64_t k = 0; k < dimensions; k++) {
        mean[k] /= (double)count;
        bounds->mean_square += mean[k] * mean[k];
    }
    for (int64_t i = 0; i < count; i++) {
        const float *frame = bounds->frames + i * dimensions;
        double square = jr_dtw_square(frame, dimensions);
        bounds->squares[i] = (float)square;
        bounds->largest = square > bounds->largest ? square : bounds->largest;
        bounds->along_mean[i] = (float)product(mean, frame, dimensions);
    }
    bounds->largest = sqrt(bounds->largest * (1 + bounds->rounding));
    jr_dtw_panel_clear(&bounds->panel);
    jr_dtw_panel_add(&bounds->panel, level, bounds->frames, bounds->squares, count);
}

static float ball_bound(const jr_dtw_bounds *bounds, const float *products, float square, float radius, double error)
{
    float sum = 0, slack = (float)(square - error);
    for (int64_t i = 0; i < bounds->panel.frames[0]; i++) {
        float distance = bounds->squares[i] - 2 * products[i] + slack;
        distance = sqrtf(distance > 0 ? distance : 0) - radius;
        distance = distance > 0 ? distance : 0;
        sum += distance * distance;
    }
    return sum * (float)(1 - bounds->rounding);
}

void jr_dtw_bound_means(const jr_dtw_bounds *bounds, const jr_dtw_level *level, const float *const *means,
                        const float *squares, const float *radii, int64_t count, const float **rows, float *products,
                        float *gaps, float *balls)
{
    const int64_t frames = bounds->panel.frames[0], width = bounds->panel.width;
    for (int64_t from = 0; from < count; from += JR_DTW_BOUND_ROWS) {
        int64_t some = count - from < JR_DTW_BOUND_ROWS ? count - from : JR_DTW_BOUND_ROWS;
        memcpy(rows, means + from, (size_t)some * sizeof *rows);
        level->costs(&bounds->panel, rows, NULL, some, 0, bounds->panel.vectors, products);
        float sums[JR_DTW_BOUND_ROWS], least[JR_DTW_BOUND_ROWS];
        level->extremes(products, width, frames, bounds->along_mean, some, sums, least);
        for (int64_t r = 0; r < some; r++) {
            double square = squares[from + r];
            double norms = sqrt(square) + bounds->largest, error = 8 * bounds->rounding * norms * norms;
            double middle = sums[r] / (double)frames;
            double along = square - middle + least[r] - error;
            double length = sqrt(fabs(square - 2 * middle + bounds->mean_square) + error);
            gaps[from + r] = along > 0 ? (float)(along / length * (1 - 1e-6)) : 0.0f;
            if (radii)
                balls[from + r] = ball_bound(bounds, products + r * width, squares[from + r], radii[from + r], error);
        }
    }
}
