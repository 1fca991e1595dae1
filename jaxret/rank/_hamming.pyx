"""Exact search of binary codes over csrc/hamming.c. Arguments are checked by jaxret.rank.hamming."""

from libc.stdint cimport int64_t, uint8_t

from jaxret.rank._watch cimport Watch, check_memory, watch

import numpy as np

cdef extern from "hamming.h":
    ctypedef struct jr_hamming:
        pass
    ctypedef int (*jr_watch)(void *watcher, int64_t done, int64_t total) noexcept nogil
    jr_hamming *jr_hamming_new(const uint8_t *queries, int64_t count, int64_t bytes, int64_t k, int64_t radius,
                               int threads, int level) nogil
    int jr_hamming_search(jr_hamming *search, const uint8_t *codes, int64_t n, jr_watch watch,
                          void *watcher) nogil
    int jr_hamming_finish(jr_hamming *search, int64_t *ids, float *distances) nogil
    int64_t jr_hamming_found(const jr_hamming *search) nogil
    int jr_hamming_collect(jr_hamming *search, int64_t *offsets, int64_t *ids, float *distances) nogil
    void jr_hamming_free(jr_hamming *search) nogil
    int64_t JR_MAX_CODE_BYTES
    int JR_ID_BITS

MAX_CODE_BYTES = JR_MAX_CODE_BYTES
MAX_CODES = 2 ** <object>JR_ID_BITS


cdef class _Search:
    cdef jr_hamming *search

    def __dealloc__(self):
        jr_hamming_free(self.search)

    cdef run(self, const uint8_t[:, ::1] codes, progress):
        cdef Watch watcher = Watch(progress, codes.shape[0])
        cdef int64_t n = codes.shape[0]
        cdef int status
        with nogil:
            status = jr_hamming_search(self.search, &codes[0, 0], n, watch, <void *>watcher)
        watcher.check(status)


cdef _Search start(const uint8_t[:, ::1] queries, int64_t k, int64_t radius, int threads, int level):
    """A search; no constructor, which would take the view as an object, half a microsecond in a search of few codes."""
    cdef _Search made = _Search.__new__(_Search)
    cdef int64_t count = queries.shape[0], width = queries.shape[1]
    with nogil:
        made.search = jr_hamming_new(&queries[0, 0], count, width, k, radius, threads, level)
    if made.search == NULL:
        raise MemoryError(f"not enough memory to search {count} codes of {width} bytes on {threads} threads")
    return made


def topk(const uint8_t[:, ::1] queries, const uint8_t[:, ::1] gallery, int64_t k, int threads, int level,
         progress=None):
    """(ids, distances), both (Q, k), of the k nearest codes."""
    cdef _Search search = start(queries, k, 0, threads, level)
    search.run(gallery, progress)
    shape = (queries.shape[0], k)
    ids, distances = np.empty(shape, np.int64), np.empty(shape, np.float32)
    cdef int64_t[:, ::1] id_view = ids
    cdef float[:, ::1] distance_view = distances
    cdef int status
    with nogil:
        status = jr_hamming_finish(search.search, &id_view[0, 0], &distance_view[0, 0])
    check_memory(status)
    return ids, distances


def within(const uint8_t[:, ::1] queries, const uint8_t[:, ::1] gallery, int64_t radius, int threads, int level,
           progress=None):
    """(offsets (Q + 1,), ids, distances) of all codes within a radius."""
    cdef _Search search = start(queries, 0, radius, threads, level)
    search.run(gallery, progress)
    cdef int64_t total = jr_hamming_found(search.search)
    if total < 0:
        raise MemoryError(f"not enough memory for all codes within {radius} bits")
    offsets = np.empty(queries.shape[0] + 1, np.int64)
    ids = np.empty(total + 1, np.int64)  # one more, so that no view is empty
    distances = np.empty(total + 1, np.float32)
    cdef int64_t[::1] offset_view = offsets, id_view = ids
    cdef float[::1] distance_view = distances
    cdef int status
    with nogil:
        status = jr_hamming_collect(search.search, &offset_view[0], &id_view[0], &distance_view[0])
    check_memory(status)
    return offsets, ids[:total], distances[:total]
