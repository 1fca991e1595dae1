"""Which of the kernels' instruction sets this machine can run, and which one is asked for."""

from libc.stdlib cimport getenv

cdef extern from "cpu_features.h":
    int jr_simd_supported(int level) nogil


def simd_supported(int level):
    """Whether kernels of this numeric level (see `jaxret.rank.simd`) may run here."""
    return bool(jr_simd_supported(level))


def simd_asked_for():
    """The environment variable JAXRET_SIMD, "" where it is not set: os.environ takes half a microsecond for it, of the
    ten that a search of a few thousand codes takes."""
    cdef const char *name = getenv("JAXRET_SIMD")
    return "" if name == NULL else (<bytes>name).decode(errors="surrogateescape")
