"""Dynamic time warping over csrc/dtw.h. Arguments are checked by jaxret.rank's dtw*.py and sequence_table.py."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, int64_t

from jaxret.rank._watch cimport Watch, watch

import numpy as np

SEGMENT = JR_DTW_SEGMENT
LARGEST_SQUARE = JR_DTW_LARGEST_SQUARE

cdef extern from "dtw.h":
    enum:
        JR_DTW_SEGMENT
    float JR_DTW_LARGEST_SQUARE
    ctypedef int (*jr_watch)(void *watcher, int64_t done, int64_t total) noexcept nogil
    ctypedef struct jr_dtw_sequences:
        int64_t count
        int64_t dimensions
        const float **frames
        const int64_t *offsets
        float *squares
        const int64_t *segment_offsets
        float *centre
        float *means
        float *mean_squares
        float *radii
        float *segment_means
        float *segment_squares
    ctypedef struct jr_dtw_pruning:
        int64_t by_mean
        int64_t by_segments
        int64_t abandoned
        int64_t measured
    ctypedef struct jr_dtw_span:
        int64_t start
        int64_t end
        float distance
    int jr_dtw_prepare(jr_dtw_sequences *sequences, int threads, int64_t *bad, jr_watch watch, void *watcher) nogil
    int jr_dtw_distances(int level, const jr_dtw_sequences *queries, const jr_dtw_sequences *gallery,
                         const int64_t *order, int64_t window, int reverse, int threads, float *distances,
                         jr_watch watch, void *watcher) nogil
    int jr_dtw_search(int level, const jr_dtw_sequences *queries, const jr_dtw_sequences *gallery, int64_t k,
                      int64_t window, int reverse, int prune, int threads, int64_t *ids, float *distances,
                      jr_dtw_pruning *pruning, jr_watch watch, void *watcher) nogil
    int jr_dtw_path(int level, const jr_dtw_sequences *a, const jr_dtw_sequences *b, int64_t window,
                    float *distance, int64_t *path, int64_t *length, jr_watch watch, void *watcher) nogil
    int jr_dtw_subsequence(int level, const jr_dtw_sequences *query, const jr_dtw_sequences *gallery, int64_t count,
                           int threads, jr_dtw_span *spans, jr_watch watch, void *watcher) nogil


cdef class Sequences:
    """Sequences of float32 vectors that stay where they are, and what the kernels find out about them once."""

    cdef jr_dtw_sequences s
    cdef const float **pointers
    cdef readonly object offsets
    cdef object kept, arrays
    cdef readonly bint has_means

    def __cinit__(self):
        self.pointers = NULL

    def __init__(self, sequences, int64_t dimensions):
        """`sequences`: a non-empty list of C-contiguous float32 (T, dimensions), T at least 1."""
        cdef int64_t count = len(sequences), i
        cdef const float[:, ::1] frames
        self.pointers = <const float **>PyMem_Malloc(count * sizeof(float *))
        if self.pointers == NULL:
            raise MemoryError(f"not enough memory for {count} sequences")
        offsets = np.zeros(count + 1, np.int64)
        cdef int64_t[::1] offset = offsets
        for i in range(count):
            frames = sequences[i]
            if frames.shape[0] < 1 or frames.shape[1] != dimensions:
                raise ValueError(f"sequences[{i}] must be (T, {dimensions}), got {sequences[i].shape}")
            self.pointers[i] = &frames[0, 0]
            offset[i + 1] = offset[i] + frames.shape[0]
        self.kept = sequences
        self._take(offsets, dimensions)

    @staticmethod
    def of_table(const float[:, ::1] values, const int64_t[::1] offsets):
        """The rows of `values` from each offset to the next. Offsets must rise from 0 to the number of rows."""
        cdef Sequences self = Sequences.__new__(Sequences)
        cdef int64_t count = offsets.shape[0] - 1, i
        if offsets[0] != 0 or offsets[count] != values.shape[0]:
            raise ValueError(f"offsets must run from 0 to {values.shape[0]}, got {offsets[0]} and {offsets[count]}")
        self.pointers = <const float **>PyMem_Malloc(count * sizeof(float *))
        if self.pointers == NULL:
            raise MemoryError(f"not enough memory for {count} sequences")
        for i in range(count):
            if not 0 <= offsets[i] < offsets[i + 1] <= values.shape[0]:
                raise ValueError(f"offsets must rise, got {offsets[i]} and {offsets[i + 1]} at {i}")
            self.pointers[i] = &values[offsets[i], 0]
        self.kept = values
        self._take(np.array(offsets), values.shape[1])
        return self

    cdef _take(self, offsets, int64_t dimensions):
        cdef const int64_t[::1] offset = offsets
        self.offsets = offsets
        self.has_means = False
        self.s.count = len(offsets) - 1
        self.s.dimensions = dimensions
        self.s.frames = self.pointers
        self.s.offsets = &offset[0]
        self.arrays = {"offsets": offsets}

    def __dealloc__(self):
        PyMem_Free(<void *>self.pointers)

    cdef float *_new(self, name, shape) except NULL:
        array = np.empty(shape, np.float32)
        cdef float[::1] flat = array.reshape(-1)
        self.arrays[name] = array
        return &flat[0]

    def prepare(self, bint with_means, int threads, progress=None):
        """Norms of all frames, and on demand the means; returns the first sequence that is not fit, or -1."""
        cdef int64_t count = self.s.count, dimensions = self.s.dimensions, bad = -1
        cdef int status
        cdef const int64_t[::1] segment_offset
        cdef Watch watcher = Watch(progress, count)
        self.s.squares = self._new("squares", self.offsets[count])
        if with_means:
            segment_offsets = np.zeros(count + 1, np.int64)
            np.cumsum((np.diff(self.offsets) + (SEGMENT - 1)) // SEGMENT, out=segment_offsets[1:])
            segment_offset = segment_offsets
            self.arrays["segment_offsets"] = segment_offsets
            self.s.segment_offsets = &segment_offset[0]
            self.s.means = self._new("means", (count, dimensions))
            self.s.mean_squares = self._new("mean_squares", count)
            self.s.radii = self._new("radii", count)
            self.s.segment_means = self._new("segment_means", (segment_offsets[count], dimensions))
            self.s.segment_squares = self._new("segment_squares", segment_offsets[count])
            self.s.centre = self._new("centre", dimensions)
        with nogil:
            status = jr_dtw_prepare(&self.s, threads, &bad, watch, <void *>watcher)
        if bad < 0:
            watcher.check(status)
            self.has_means = with_means
        return bad


def distances(Sequences queries, Sequences gallery, window, bint reverse, int threads, int level, progress=None):
    """float32 (Q, N); `window` None for none."""
    cdef int64_t band = INT64_MAX if window is None else window, q = queries.s.count, n = gallery.s.count
    cdef int status
    cdef Watch watcher = Watch(progress, q * n)
    result = np.empty((q, n), np.float32)
    cdef float[:, ::1] out = result
    cdef const int64_t[::1] order = np.argsort(np.diff(gallery.offsets), kind="stable").astype(np.int64, copy=False)
    with nogil:
        status = jr_dtw_distances(level, &queries.s, &gallery.s, &order[0], band, reverse, threads, &out[0, 0],
                                  watch, <void *>watcher)
    watcher.check(status)
    return result


def search(Sequences queries, Sequences gallery, int64_t k, window, bint reverse, bint prune, int threads, int level,
           progress=None):
    """(ids, distances, pruning int64 (Q, 4)): ruled out by mean, by segments, abandoned; measured."""
    cdef int64_t band = INT64_MAX if window is None else window, q = queries.s.count
    cdef int status
    cdef Watch watcher = Watch(progress, q * gallery.s.count)
    if prune and not gallery.has_means:
        raise ValueError("gallery must be prepared with its means")
    ids = np.empty((q, k), np.int64)
    found = np.empty((q, k), np.float32)
    pruning = np.empty((q, 4), np.int64)
    cdef int64_t[:, ::1] id_view = ids
    cdef float[:, ::1] found_view = found
    cdef int64_t[:, ::1] pruning_view = pruning
    with nogil:
        status = jr_dtw_search(level, &queries.s, &gallery.s, k, band, reverse, prune, threads, &id_view[0, 0],
                               &found_view[0, 0], <jr_dtw_pruning *>&pruning_view[0, 0], watch, <void *>watcher)
    watcher.check(status)
    return ids, found, pruning


def path(Sequences a, Sequences b, window, int level):
    """(distance, int64 (L, 2)) of sequence 0 of each."""
    cdef int64_t band = INT64_MAX if window is None else window, length = 0
    cdef float distance = 0
    cdef int status
    cdef Watch watcher = Watch()
    steps = np.empty((int(a.offsets[1]) + int(b.offsets[1]) - 1, 2), np.int64)
    cdef int64_t[:, ::1] step = steps
    with nogil:
        status = jr_dtw_path(level, &a.s, &b.s, band, &distance, &step[0, 0], &length, watch, <void *>watcher)
    watcher.check(status)
    return distance, steps[:length].copy()


SPAN = np.dtype({"names": ["start", "end", "distance"], "formats": [np.int64, np.int64, np.float32],
                 "offsets": [0, 8, 16], "itemsize": sizeof(jr_dtw_span)})


def subsequence(Sequences query, Sequences gallery, int64_t count, int threads, int level, progress=None):
    """Structured (N, count) of start, end, distance: the best disjoint spans of each sequence; start -1: none."""
    cdef int status
    cdef Watch watcher = Watch(progress, gallery.s.count)
    spans = np.zeros((gallery.s.count, count), SPAN)
    cdef unsigned char[::1] raw = spans.reshape(-1).view(np.uint8)
    with nogil:
        status = jr_dtw_subsequence(level, &query.s, &gallery.s, count, threads, <jr_dtw_span *>&raw[0], watch,
                                    <void *>watcher)
    watcher.check(status)
    return spans
