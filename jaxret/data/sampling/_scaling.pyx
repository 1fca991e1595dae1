"""Scaling of images over csrc/scaling.c. Arguments are made by jaxret.data.sampling.scaling."""

from libc.stdint cimport int32_t, int64_t, uint8_t

import numpy as np

cdef extern from "cpu_features.h":
    int JR_PORTABLE
    int JR_AVX2
    int jr_simd_supported(int level) nogil

cdef extern from "scaling.h":
    int JR_SCALING_BITS
    cdef struct jr_footprints:
        int64_t count
        int64_t most
        const int32_t *first
        const int32_t *lengths
        const int32_t *weights
    int jr_scale(const uint8_t *pixels, int64_t height, int64_t width, const jr_footprints *down,
                 const jr_footprints *across, uint8_t *out, int level) nogil

WEIGHT_BITS = JR_SCALING_BITS

cdef int _BEST = JR_AVX2 if jr_simd_supported(JR_AVX2) else JR_PORTABLE


cdef jr_footprints _footprints(arrays):
    """Of arrays that the caller holds."""
    cdef const int32_t[::1] first = arrays[0], lengths = arrays[1]
    cdef const int32_t[:, ::1] weights = arrays[2]
    return jr_footprints(weights.shape[0], weights.shape[1], &first[0], &lengths[0], &weights[0, 0])


def scale(const uint8_t[:, :, ::1] pixels, down, across, bint portable=False):
    """Pixels (H, W, 3) to (H', W', 3); `down` and `across` are what pixels are made of: first, lengths, weights."""
    cdef jr_footprints rows = _footprints(down), columns = _footprints(across)
    scaled = np.empty((rows.count, columns.count, 3), np.uint8)
    cdef uint8_t[:, :, ::1] out = scaled
    cdef int64_t height = pixels.shape[0], width = pixels.shape[1]
    cdef int level = JR_PORTABLE if portable else _BEST
    cdef int status
    with nogil:
        status = jr_scale(&pixels[0, 0, 0], height, width, &rows, &columns, &out[0, 0, 0], level)
    if status:
        raise MemoryError(f"not enough memory to scale an image of {height} x {width} pixels")
    return scaled
