/* Allocation for the kernels. */
#ifndef JR_MEMORY_H
#define JR_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes for a * b * c items, whole cache lines and never none; 0 where that overflows. */
static inline size_t jr_bytes(int64_t a, int64_t b, int64_t c, size_t item)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)a, (size_t)b, &bytes) || __builtin_mul_overflow(bytes, (size_t)c, &bytes)
        || __builtin_mul_overflow(bytes, item, &bytes) || bytes > (size_t)1 << 62)
        return 0;
    return (bytes + 64 + 63) / 64 * 64;
}

/* Memory for a * b * c items, on a cache line, that holds anything; NULL where there is none. Freed with free(). */
static inline void *jr_reserve(int64_t a, int64_t b, int64_t c, size_t item)
{
    size_t bytes = jr_bytes(a, b, c, item);
    return bytes ? aligned_alloc(64, bytes) : NULL;
}

/* The same, zeroed. */
static inline void *jr_allocate(int64_t a, int64_t b, int64_t c, size_t item)
{
    void *memory = jr_reserve(a, b, c, item);
    if (memory)
        memset(memory, 0, jr_bytes(a, b, c, item));
    return memory;
}

#endif
