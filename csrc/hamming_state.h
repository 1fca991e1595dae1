/* What the driver (hamming.c) and the kernels (hamming_kernel.h) of the Hamming search share.
 *
 * Many queries: bit-sliced. A block of codes is turned into bit planes, one vector a bit, so that a vector holds
 * one bit of 128 to 512 codes. Planes are taken in threes; for each of the 8 values that three query bits can
 * have, a table holds the two-bit count of differing bits. The table serves all queries. For one query the 22
 * counts of a 64-bit chunk are picked from the table and added by carry-save adders, which yields the distances
 * of the whole block in binary, one plane a digit; these are compared with the query's limit, again bitwise.
 * That costs 0.2 instructions a pair of 64-bit codes instead of the 4 / 8 of XOR, count and compare.
 *
 * Few queries: XOR and popcount over the codes as they lie, at the speed of memory.
 */
#ifndef JR_HAMMING_STATE_H
#define JR_HAMMING_STATE_H

#include <stdint.h>
#include <string.h>

#include "hamming.h"

#define JR_CHUNK_BITS 64
#define JR_GROUPS 22        /* of a chunk: 21 of three bits and one of one bit */
#define JR_CHUNK_DIGITS 7   /* binary digits of a chunk's distance, 0 .. 64 */
#define JR_MAX_DIGITS 24    /* of a whole distance: JR_MAX_CODE_BYTES * 8 < 2^24 */
#define JR_QUERY_TILE 256   /* queries that share a table while partial distances stay in cache */
#define JR_MAX_VECTOR_BYTES 64

typedef struct {
    uint64_t *heaps;   /* (count, k): max-heaps of distance << JR_ID_BITS | id */
    int64_t *sizes;    /* (count,) */
    int64_t *limits;   /* (count,): a code enters where distance <= limit */
    uint64_t *planes;  /* (chunks, 64, vector): bit planes of a block */
    uint64_t *table;   /* (JR_GROUPS, 8, 2, vector) */
    uint64_t *partial; /* (JR_QUERY_TILE, digits, vector): distances over the chunks done so far */
    uint64_t *found;   /* pairs (query, distance << JR_ID_BITS | id) of a radius search */
    int64_t found_size, found_capacity;
    int failed; /* found could not grow */
} jr_hamming_worker;

struct jr_hamming;
typedef void (*jr_hamming_task)(struct jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n);

typedef struct {
    int vector_bytes; /* of the bit-sliced form: 8 * vector_bytes codes a block */
    int few_queries;  /* up to this many queries the direct form is faster */
    jr_hamming_task sliced, direct;
} jr_hamming_kernel;

struct jr_hamming {
    const uint8_t *queries, *codes;
    int64_t count, bytes, k, radius, n;
    int64_t chunks, digits, task_codes;
    int threads;
    jr_hamming_kernel kernel;
    uint16_t *picks;    /* (count, chunks, JR_GROUPS): byte offsets into the table */
    uint64_t *words;    /* (count, chunks): queries as little-endian words, zero-padded */
    jr_hamming_worker *workers;
};

/* In hamming.c: a code within a query's limit. */
void jr_hamming_offer(struct jr_hamming *search, jr_hamming_worker *worker, int64_t query, int64_t distance,
                      int64_t id);

/* Eight bytes of a code, or its last 1 to 7 with zeros behind. Bits only need to match between codes and queries,
 * so the machine's own byte order will do. */
static inline uint64_t jr_load_word(const uint8_t *code, int64_t bytes)
{
    uint64_t word = 0;
    if (bytes >= 8)
        memcpy(&word, code, 8);
    else
        memcpy(&word, code, (size_t)bytes);
    return word;
}

#endif
