"""Exact k nearest vectors: the state of one search over csrc/topk.c. Arguments are checked by jaxret.rank.topk."""

from libc.stdint cimport int64_t

from jaxret.rank._watch cimport Watch, check_memory, watch

import numpy as np

EUCLIDEAN = 0
COSINE = 1
PAR = 2

cdef extern from "topk.h":
    ctypedef struct jr_topk:
        pass
    ctypedef int (*jr_watch)(void *watcher, int64_t done, int64_t total) noexcept nogil
    jr_topk *jr_topk_new(const float *queries, int64_t count, int64_t dimensions, int64_t k, int metric,
                         int threads, int level) nogil
    int jr_topk_add(jr_topk *search, const float *rows, int64_t n, int64_t first_id, jr_watch watch,
                    void *watcher, int64_t *bad_row) nogil
    int jr_topk_finish(jr_topk *search, int64_t *ids, float *distances, float *cosines) nogil
    void jr_topk_free(jr_topk *search) nogil

cdef extern from "topk_cells.h":
    ctypedef struct jr_cells:
        const float *vectors
        const int64_t *ids
        const int64_t *offsets
        int64_t dimensions
    int jr_topk_cells(const jr_cells *cells, const float *queries, int64_t count, const int64_t *probed,
                      int64_t probes, int64_t k, int threads, int level, jr_watch watch, void *watcher,
                      int64_t *ids, float *distances, int64_t *bad_row) nogil


cdef class TopkSearch:
    """A search whose gallery may come in several blocks."""

    cdef jr_topk *search
    cdef const float[:, ::1] queries
    cdef int64_t k

    def __cinit__(self, const float[:, ::1] queries, int64_t k, int metric, int threads, int level):
        self.queries = queries
        self.k = k
        cdef int64_t count = queries.shape[0], dimensions = queries.shape[1]
        with nogil:
            self.search = jr_topk_new(&queries[0, 0], count, dimensions, k, metric, threads, level)
        if self.search == NULL:
            raise MemoryError(f"not enough memory for the {k} best of {count} queries on {threads} threads")

    def __dealloc__(self):
        jr_topk_free(self.search)

    def add(self, const float[:, ::1] rows, int64_t first_id, progress=None):
        """Searches more rows; returns the first row that holds a NaN or an infinity, or -1."""
        cdef int64_t bad_row = -1, n = rows.shape[0]
        cdef int status
        cdef Watch watcher = Watch(progress, n)
        if rows.shape[1] != self.queries.shape[1]:
            raise ValueError(f"rows must have {self.queries.shape[1]} dimensions, got {rows.shape[1]}")
        with nogil:
            status = jr_topk_add(self.search, &rows[0, 0], n, first_id, watch, <void *>watcher, &bad_row)
        if bad_row < 0:
            watcher.check(status)
        return bad_row

    def finish(self, bint with_cosines=False):
        """(ids, distances, cosines or None) of all rows searched so far."""
        cdef int64_t count = self.queries.shape[0]
        cdef int status
        ids = np.empty((count, self.k), np.int64)
        distances = np.empty((count, self.k), np.float32)
        cosines = np.empty((count, self.k), np.float32) if with_cosines else None
        cdef int64_t[:, ::1] id_view = ids
        cdef float[:, ::1] distance_view = distances
        cdef float[:, ::1] cosine_view = cosines
        cdef float *cosine_data = &cosine_view[0, 0] if with_cosines else NULL
        with nogil:
            status = jr_topk_finish(self.search, &id_view[0, 0], &distance_view[0, 0], cosine_data)
        check_memory(status)
        return ids, distances, cosines


def topk_in_cells(const float[:, ::1] vectors, const int64_t[::1] ids, const int64_t[::1] offsets,
                  const float[:, ::1] queries, const int64_t[:, ::1] probed, int64_t k, int threads, int level):
    """(ids, distances) (Q, k) among the probed cells of each query, and a row that is not finite, or -1.

    The caller has checked that offsets ascend from 0 to the number of vectors, and that probed cells exist.
    """
    cdef int64_t count = queries.shape[0], bad_row = -1
    cdef jr_cells cells
    cdef int status
    cdef Watch watcher = Watch(None, count)
    if ids.shape[0] != vectors.shape[0] or queries.shape[1] != vectors.shape[1] or probed.shape[0] != count:
        raise ValueError("arrays do not fit each other")
    found_ids = np.empty((count, k), np.int64)
    found_distances = np.empty((count, k), np.float32)
    cdef int64_t[:, ::1] id_view = found_ids
    cdef float[:, ::1] distance_view = found_distances
    cells.vectors, cells.ids, cells.offsets = &vectors[0, 0], &ids[0], &offsets[0]
    cells.dimensions = vectors.shape[1]
    with nogil:
        status = jr_topk_cells(&cells, &queries[0, 0], count, &probed[0, 0], probed.shape[1], k, threads, level,
                               watch, <void *>watcher, &id_view[0, 0], &distance_view[0, 0], &bad_row)
    if bad_row < 0:
        watcher.check(status)
    return found_ids, found_distances, bad_row
