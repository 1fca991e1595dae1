/* Images of 8 bits scaled over the whole footprint of an output pixel: weighted sums along the rows, rounded to 8 bits,
 * then along the columns. All levels give the same bits. */
#ifndef JR_SCALING_H
#define JR_SCALING_H

#include <stdint.h>

enum { JR_SCALING_BITS = 22, JR_SCALING_CHANNELS = 3 };

/* Which pixels of a line each pixel of a scaled one is made of. */
struct jr_footprints {
    int64_t count;          /* of scaled pixels */
    int64_t most;           /* weights of each, an even number; those that it does not need are 0 */
    const int32_t *first;   /* (count,), the first pixel; it rises from one to the next, or stays */
    const int32_t *lengths; /* (count,), how many pixels there are, 1 .. most */
    const int32_t *weights; /* (count, most), at least 0, that sum to about 2 ** JR_SCALING_BITS */
};

/* Scales `pixels` (height, width, 3) to `out` (down->count, across->count, 3), by the kernels of `level`
 * (cpu_features.h), which must be supported here. Returns 0, or -1 where there is no memory. */
int jr_scale(const uint8_t *pixels, int64_t height, int64_t width, const struct jr_footprints *down,
             const struct jr_footprints *across, uint8_t *out, int level);

#endif
