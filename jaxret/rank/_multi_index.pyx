"""Multi-index hashing over csrc/multi_index.c. Arguments are checked by jaxret.rank.hamming_index."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from jaxret.rank._watch cimport Watch, watch

import numpy as np

from jaxret.errors import IndexFormatError

cdef extern from "multi_index.h":
    ctypedef int (*jr_watch)(void *watcher, int64_t done, int64_t total) noexcept nogil
    ctypedef struct jr_multi_index:
        const uint8_t *codes
        int64_t n, bytes
        int tables
        const int64_t *firsts
        const int64_t *starts
        const uint32_t *offsets
        const uint32_t *ids
    ctypedef struct jr_index_search:
        pass
    int jr_multi_index_build(const jr_multi_index *index, uint32_t *offsets, uint32_t *ids, int threads,
                             jr_watch watch, void *watcher) nogil
    jr_index_search *jr_index_search_new(const jr_multi_index *index, const uint8_t *queries, int64_t count,
                                         int64_t k, int64_t radius, int64_t budget, int threads,
                                         int popcount) nogil
    int jr_index_search_run(jr_index_search *search, int64_t *touched, jr_watch watch, void *watcher) nogil
    int64_t jr_index_search_result(jr_index_search *search, int64_t query, const uint64_t **keys) nogil
    void jr_index_search_free(jr_index_search *search) nogil
    int JR_CORRUPT
    int JR_MAX_SUBSTRING_BITS

cdef extern from "key_heap.h":
    uint64_t JR_ID_MASK
    int JR_ID_BITS

MAX_SUBSTRING_BITS = JR_MAX_SUBSTRING_BITS


cdef class Tables:
    """The bucket tables of some codes; holds on to the arrays that the C side points into."""

    cdef jr_multi_index index
    cdef const uint8_t[:, ::1] codes
    cdef const int64_t[::1] firsts
    cdef const int64_t[::1] starts
    cdef const uint32_t[::1] offsets
    cdef const uint32_t[:, ::1] ids

    def __cinit__(self, const uint8_t[:, ::1] codes, const int64_t[::1] firsts, const int64_t[::1] starts,
                  const uint32_t[::1] offsets, const uint32_t[:, ::1] ids):
        self.codes, self.firsts, self.starts, self.offsets, self.ids = codes, firsts, starts, offsets, ids
        self.index.codes = &codes[0, 0]
        self.index.n = codes.shape[0]
        self.index.bytes = codes.shape[1]
        self.index.tables = <int>ids.shape[0]
        self.index.firsts = &firsts[0]
        self.index.starts = &starts[0]
        self.index.offsets = &offsets[0]
        self.index.ids = &ids[0, 0]

    def build(self, uint32_t[::1] offsets, uint32_t[:, ::1] ids, int threads):
        """Fills the arrays given to the constructor."""
        cdef Watch watcher = Watch()
        cdef int status
        with nogil:
            status = jr_multi_index_build(&self.index, &offsets[0], &ids[0, 0], threads, watch, <void *>watcher)
        watcher.check(status)

    def search(self, const uint8_t[:, ::1] queries, int64_t k, int64_t radius, int64_t budget, int threads,
               bint popcount, progress=None):
        """(counts, ids, distances, touched): the results of all queries one after another."""
        cdef int64_t count = queries.shape[0], q, i, size, total = 0
        cdef const uint64_t *keys
        cdef Watch watcher = Watch(progress, count)
        cdef int status
        touched = np.empty(count, np.int64)
        counts = np.empty(count, np.int64)
        cdef int64_t[::1] touched_view = touched, count_view = counts
        cdef jr_index_search *search = jr_index_search_new(&self.index, &queries[0, 0], count, k, radius, budget,
                                                           threads, popcount)
        if search == NULL:
            raise MemoryError(f"not enough memory to search {count} codes")
        try:
            with nogil:
                status = jr_index_search_run(search, &touched_view[0], watch, <void *>watcher)
            if status == JR_CORRUPT:
                raise IndexFormatError("the tables of the index point outside its codes: the files are damaged")
            watcher.check(status)
            for q in range(count):
                count_view[q] = jr_index_search_result(search, q, &keys)
                total += count_view[q]
            ids = np.empty(total, np.int64)
            distances = np.empty(total, np.float32)
            self._copy(search, count, ids, distances)
        finally:
            jr_index_search_free(search)
        return counts, ids, distances, touched

    cdef _copy(self, jr_index_search *search, int64_t count, int64_t[::1] ids, float[::1] distances):
        cdef const uint64_t *keys
        cdef int64_t q, i, size, at = 0
        for q in range(count):
            size = jr_index_search_result(search, q, &keys)
            for i in range(size):
                ids[at] = <int64_t>(keys[i] & JR_ID_MASK)
                distances[at] = <float>(keys[i] >> JR_ID_BITS)
                at += 1
