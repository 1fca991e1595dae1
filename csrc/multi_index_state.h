/* What multi_index.c and its kernels share. */
#ifndef JR_MULTI_INDEX_STATE_H
#define JR_MULTI_INDEX_STATE_H

#include <stdatomic.h>
#include <string.h>

#include "key_heap.h"
#include "multi_index.h"

typedef struct {
    uint64_t *keys; /* a heap of at most k, or a growing list of all within the radius */
    int64_t size, capacity;
} jr_index_found;

struct jr_index_search {
    jr_multi_index index;
    const uint8_t *queries;
    int64_t count, k, radius, budget;
    int threads, popcount;
    jr_index_found *found; /* (count,) */
    int64_t *touched;      /* (count,) */
    atomic_int failure;    /* JR_NO_MEMORY or JR_CORRUPT */
};

/* In multi_index.c: keeps a code; 0 where memory ran out. */
int jr_index_keep(struct jr_index_search *search, jr_index_found *found, uint64_t key);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "substrings are cut from little-endian words");

/* Bits first .. last - 1 of a code, at most JR_MAX_SUBSTRING_BITS. */
static inline uint32_t jr_substring(const uint8_t *code, int64_t bytes, int64_t first, int64_t last)
{
    int64_t byte = first / 8, width = bytes - byte < 8 ? bytes - byte : 8;
    uint64_t word = 0;
    if (width == 8)
        memcpy(&word, code + byte, 8);
    else
        for (int64_t i = 0; i < width; i++)
            word |= (uint64_t)code[byte + i] << (8 * i);
    return (uint32_t)(word >> (first % 8)) & (uint32_t)((1ull << (last - first)) - 1);
}

#endif
