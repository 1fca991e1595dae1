/* Allocation for the kernels. */
#ifndef JR_MEMORY_H
#define JR_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed memory for a * b * c items, on a cache line and never empty; NULL where there is none or the size
 * overflows. Freed with free(). */
static inline void *jr_allocate(int64_t a, int64_t b, int64_t c, size_t item)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)a, (size_t)b, &bytes) || __builtin_mul_overflow(bytes, (size_t)c, &bytes)
        || __builtin_mul_overflow(bytes, item, &bytes) || bytes > (size_t)1 << 62)
        return NULL;
    bytes = (bytes + 64 + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

#endif
