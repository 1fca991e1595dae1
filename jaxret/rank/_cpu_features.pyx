"""Which of the kernels' instruction sets this machine can run."""

cdef extern from "cpu_features.h":
    int jr_simd_supported(int level) nogil


def simd_supported(int level):
    """Whether kernels of this numeric level (see `jaxret.rank.simd`) may run here."""
    return bool(jr_simd_supported(level))
