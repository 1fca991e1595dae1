#include "scaling.h"

#include <stdlib.h>

#include "cpu_features.h"
#include "scaling_kernel.h"

/* As `across` and `down` of scaling_kernel.h, a pixel and a byte at a time. */

void jr_scale_across(const uint8_t *row, int64_t readable, const struct jr_footprints *across, uint8_t *out)
{
    (void) readable;
    for (int64_t x = 0; x < across->count; x++)
        jr_scale_pixel(row, across, x, out);
}

void jr_scale_down(const uint8_t *const *rows, const int32_t *weights, int64_t count, int64_t bytes, uint8_t *out)
{
    for (int64_t at = 0; at < bytes; at++)
        out[at] = jr_scale_byte(rows, weights, count, at);
}

int jr_scale(const uint8_t *pixels, int64_t height, int64_t width, const struct jr_footprints *down,
             const struct jr_footprints *across, uint8_t *out, int level)
{
    void (*scale_across)(const uint8_t *, int64_t, const struct jr_footprints *, uint8_t *) = jr_scale_across;
    void (*scale_down)(const uint8_t *const *, const int32_t *, int64_t, int64_t, uint8_t *) = jr_scale_down;
#ifdef JR_X86
    if (level != JR_PORTABLE) {
        scale_across = jr_scale_across_avx2;
        scale_down = jr_scale_down_avx2;
    }
#else
    (void) level;
#endif
    const int64_t bytes = JR_SCALING_CHANNELS * width, scaled = JR_SCALING_CHANNELS * across->count;
    const int64_t pitch = scaled + JR_SCALING_SLACK;
    /* Rows that are scaled across, in turn: as many as one row of the result is made of. */
    uint8_t *ring = malloc((size_t) (down->most * pitch));
    const uint8_t **rows = malloc((size_t) down->most * sizeof *rows);
    if (ring == NULL || rows == NULL) {
        free(ring);
        free(rows);
        return -1;
    }
    int64_t ready = 0; /* rows before this one are in the ring, or were */
    for (int64_t y = 0; y < down->count; y++) {
        const int64_t first = down->first[y], end = first + down->lengths[y];
        for (ready = ready < first ? first : ready; ready < end; ready++)
            scale_across(pixels + ready * bytes, (height - ready) * bytes, across, ring + ready % down->most * pitch);
        for (int64_t row = first; row < end; row++)
            rows[row - first] = ring + row % down->most * pitch;
        scale_down(rows, down->weights + y * down->most, end - first, scaled, out + y * scaled);
    }
    free(ring);
    free(rows);
    return 0;
}
