"""Lets a kernel that runs without the GIL be interrupted and report progress.

A kernel calls `watch` from the calling thread every 50 ms or so; it takes the GIL, lets Python run its signal
handlers (Ctrl-C) and calls `progress(done, total)`. An exception raised by either stops the kernel and is
raised again by `Watch.check` once the kernel has returned.
"""

from cpython.exc cimport PyErr_CheckSignals


cdef class Watch:
    """One kernel call's watcher: `progress` is None or a callable of (done, total) in the caller's own unit.

    The kernel counts in tasks; `total` rescales that count, so that a user sees rows and not blocks.
    """

    def __init__(self, progress=None, int64_t total=0):
        self.progress = progress
        self.error = None
        self.done = 0
        self.total = total

    cdef check(self, int status):
        """Raises what stopped the kernel; reports the end where it was not stopped."""
        if self.error is not None:
            raise self.error
        check_memory(status)
        if self.progress is not None and self.total > 0:
            self.progress(self.total, self.total)


cdef check_memory(int status):
    """Raises where a kernel had no memory; enough for one that is not watched."""
    if status == 1:
        raise MemoryError("not enough memory for the kernel's buffers")


cdef int watch(void *watcher, int64_t done, int64_t total) noexcept nogil:
    with gil:
        me = <Watch>watcher
        try:
            PyErr_CheckSignals()
            if me.progress is not None:
                if me.total > 0:
                    done, total = <int64_t>(<double>done / <double>total * me.total), me.total
                me.progress(done, total)
        except BaseException as error:
            me.error = error
            return 1
    return 0
