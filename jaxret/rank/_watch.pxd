from libc.stdint cimport int64_t


cdef class Watch:
    cdef object progress
    cdef object error
    cdef int64_t done
    cdef int64_t total
    cdef check(self, int status)


cdef check_memory(int status)


cdef int watch(void *watcher, int64_t done, int64_t total) noexcept nogil
