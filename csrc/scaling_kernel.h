/* One pixel and one byte of a scaled image, and the loops over them at each level. */
#ifndef JR_SCALING_KERNEL_H
#define JR_SCALING_KERNEL_H

#include <stdint.h>

#include "scaling.h"

enum {
    JR_SCALING_HALF = 1 << (JR_SCALING_BITS - 1), /* for rounding to the nearest */
    JR_SCALING_SLACK = 8,                         /* bytes after a row that may be written */
};

/* Pixel x of a row of pixels. Weights are shares, so that no sum leaves 0 .. 255 once rounded. */
static inline void jr_scale_pixel(const uint8_t *row, const struct jr_footprints *across, int64_t x, uint8_t *out)
{
    const int32_t *weights = across->weights + x * across->most;
    const uint8_t *seen = row + JR_SCALING_CHANNELS * (int64_t) across->first[x];
    for (int channel = 0; channel < JR_SCALING_CHANNELS; channel++) {
        int32_t sum = JR_SCALING_HALF;
        for (int32_t n = 0; n < across->lengths[x]; n++)
            sum += weights[n] * seen[JR_SCALING_CHANNELS * n + channel];
        out[JR_SCALING_CHANNELS * x + channel] = (uint8_t) (sum >> JR_SCALING_BITS);
    }
}

/* Byte `at` of a row made of several. */
static inline uint8_t jr_scale_byte(const uint8_t *const *rows, const int32_t *weights, int64_t count, int64_t at)
{
    int32_t sum = JR_SCALING_HALF;
    for (int64_t n = 0; n < count; n++)
        sum += weights[n] * rows[n][at];
    return (uint8_t) (sum >> JR_SCALING_BITS);
}

/* across: a row of pixels to out (across->count, 3), after which JR_SCALING_SLACK bytes may be written; `readable`
 * bytes may be read from the row's begin.
 * down: `count` rows of `bytes` bytes to their weighted sum, out (bytes,). */
void jr_scale_across(const uint8_t *row, int64_t readable, const struct jr_footprints *across, uint8_t *out);
void jr_scale_down(const uint8_t *const *rows, const int32_t *weights, int64_t count, int64_t bytes, uint8_t *out);
void jr_scale_across_avx2(const uint8_t *row, int64_t readable, const struct jr_footprints *across, uint8_t *out);
void jr_scale_down_avx2(const uint8_t *const *rows, const int32_t *weights, int64_t count, int64_t bytes,
                        uint8_t *out);

#endif
