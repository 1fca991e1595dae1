/* What the driver (hamming.c) and the kernels (hamming_kernel.h) of the Hamming search share.
 *
 * There are three forms: few queries read the codes as they lie (hamming_direct.h), several share planes of half-bytes
 * (hamming_nibbles.h), many share bit planes (hamming_sliced.h). Which is the fastest for how many is measured for
 * each instruction set. The last two begin with the first codes by the direct form: a query that has no k results yet
 * would otherwise be offered all codes of a block.
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
#define JR_DIRECT_BYTES (16 * 1024) /* of codes that the queries go over in turn, so that they stay in the L1 cache */
#define JR_PREFETCH_BYTES 8192 /* how far ahead of the codes: more than the prefetchers of processors dare */
#define JR_CACHED_BYTES (4 << 20) /* of codes that caches hold between searches: fetching ahead takes a tenth longer */
#define JR_FIRST_CODES 256   /* of a worker by the direct form */
#define JR_ANY_COUNT INT32_MAX
#define JR_NIBBLE_VECTORS 4  /* of codes in a block of nibble planes */
#define JR_NIBBLE_BYTES 32   /* of code whose distance fits in a byte, 256 told as 0 */
#define JR_NIBBLE_WIDEST 2048 /* bytes of code: distances of nibble planes have 15 bits */

typedef struct {
    uint64_t *heaps;   /* (count, k): max-heaps of distance << JR_ID_BITS | id */
    int64_t *sizes;    /* (count,) */
    int64_t *limits;   /* (count,): a code enters where distance <= limit */
    uint64_t *planes;  /* (chunks, 64, vector): bit or nibble planes of a block */
    uint64_t *table;   /* (JR_GROUPS, 8, 2, vector) */
    uint64_t *partial; /* (JR_QUERY_TILE, digits, vector): distances over the part of the code done so far */
    uint64_t *found;   /* pairs (query, distance << JR_ID_BITS | id) of a radius search */
    int64_t found_size, found_capacity;
    int failed; /* found could not grow */
} jr_hamming_worker;

struct jr_hamming;
typedef void (*jr_hamming_task)(struct jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n);

typedef struct {
    int vector_bytes;
    int few, some; /* up to `few` queries the direct form is the fastest, up to `some` the nibbles, then the slices */
    jr_hamming_task direct, nibbles, sliced; /* NULL where the level has no use for it */
} jr_hamming_kernel;

struct jr_hamming {
    const uint8_t *queries, *codes;
    int64_t count, bytes, k, radius, n;
    int64_t chunks, digits;
    int64_t block, task_codes; /* codes: of a block of any form's, and of a task */
    int threads, fetches; /* fetches: codes are more than the caches hold */
    jr_hamming_kernel kernel;
    jr_hamming_task form; /* of the kernel's, the one for this many queries of this width */
    uint8_t *nibble_tables; /* (256, 16): at (16 v + u, i) in how many bits u and i differ, and times 16 v and i */
    uint8_t *nibble_picks;  /* (count / 2, 2 * bytes): at which the half-bytes u and v of two queries are */
    uint16_t *picks;    /* (count, chunks, JR_GROUPS): byte offsets into the table */
    uint64_t *words;    /* (count, chunks): queries as little-endian words, zero-padded */
    jr_hamming_worker *workers;
};

/* In hamming.c: a code within a query's limit. */
void jr_hamming_offer(struct jr_hamming *search, jr_hamming_worker *worker, int64_t query, int64_t distance,
                      int64_t id);

/* Eight bytes of a code, or its last 1 to 7 with zeros behind. Bits only need to match between codes and queries,
 * so the order of the bytes is no matter. */
static inline uint64_t jr_load_word(const uint8_t *code, int64_t bytes)
{
    uint64_t word = 0;
    if (bytes >= 8) {
        memcpy(&word, code, 8);
    } else if (bytes >= 4) { /* two loads that overlap: a memcpy of unknown length would be a call */
        uint32_t low, high;
        memcpy(&low, code, 4);
        memcpy(&high, code + bytes - 4, 4);
        word = low | (uint64_t)high << 8 * (bytes - 4);
    } else {
        for (int64_t at = 0; at < bytes; at++)
            word |= (uint64_t)code[at] << 8 * at;
    }
    return word;
}

#endif
