/* Few queries: XOR and popcount over the codes as they lie, at the speed of memory. Included by hamming_kernel.h where
 * the level defines
 *   COUNT_PARTS(v)     popcounts of parts of each word, at most PART_VECTORS of which add up without overflow
 *   SUM_PARTS(v)       the sum of the parts of each word
 *   COUNT_HALVES(v)    popcount of each half of a word
 *   PAIR_LOW, PAIR_HIGH (a, b)   of every 128 bits, the first (second) words of a and b
 *   HALF_LOW, HALF_HIGH (a, b)   the even (odd) 128 bits of a, then those of b (where WORDS >= 4)
 *   ANY(v)             whether a bit of v is set
 * or, where a scalar popcount is faster than all that, nothing of it.
 */

/* The distances of four codes one after another. Long ones, which the compiler leaves in a loop, share it. */
INLINE void NAME(four_distances)(const uint8_t *code, const uint8_t *at, const int64_t bytes, int64_t *distances)
{
    int64_t from = 0;
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
        distances[r] = 0;
    if (bytes > 128)
#pragma GCC unroll 8
        for (; from + 8 <= bytes; from += 8)
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++)
                distances[r] += NAME(distance)(code + from, at + r * bytes + from, 8);
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++)
        distances[r] += NAME(distance)(code + from, at + r * bytes + from, bytes - from);
}

/* Codes from `from` on, word by word; a branch for four of them. */
INLINE void NAME(direct_rows)(jr_hamming *search, jr_hamming_worker *worker, int64_t query, int64_t from, int64_t to,
                              const int64_t bytes)
{
    const uint8_t *code = search->queries + query * bytes, *at = search->codes + from * bytes;
    const int64_t fetched = search->fetches && query == 0 ? 4 * bytes : 0; /* once for all queries */
    int64_t row = from;
    for (; row + 4 <= to; row += 4, at += 4 * bytes) {
        for (int64_t line = 0; line < fetched; line += 64)
            __builtin_prefetch(at + JR_PREFETCH_BYTES + line);
        int64_t distances[4], beyond = -1;
        NAME(four_distances)(code, at, bytes, distances);
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++)
            beyond &= worker->limits[query] - distances[r]; /* negative while all are */
        if (beyond < 0)
            continue;
        for (int r = 0; r < 4; r++)
            if (distances[r] <= worker->limits[query])
                jr_hamming_offer(search, worker, query, distances[r], row + r);
    }
    for (; row < to; row++, at += bytes) {
        int64_t distance = NAME(distance)(code, at, bytes);
        if (distance <= worker->limits[query])
            jr_hamming_offer(search, worker, query, distance, row);
    }
}

#ifdef COUNT_PARTS

#define LOAD(at) (*(const UNALIGNED *)(at))
#define VECTOR_BYTES ((int64_t)sizeof(VECTOR))

/* A query and how codes of its width lie in vectors. */
typedef struct {
    const uint8_t *code;
    int64_t bytes;
    VECTOR last; /* the vector that ends where the code does, masked; or the pattern of codes within one vector */
    VECTOR mask; /* its bytes that are not in the vector before */
} NAME(direct_query);

/* `words` vectors of which WORDS / words neighbouring words belong together, to the WORDS sums. */
INLINE VECTOR NAME(merge)(VECTOR *sums, const int words)
{
    for (int i = 0; i < words / 2; i++)
        sums[i] = PAIR_LOW(sums[2 * i], sums[2 * i + 1]) + PAIR_HIGH(sums[2 * i], sums[2 * i + 1]);
#if WORDS >= 4
    for (int done = 4; done <= words; done *= 2)
        for (int i = 0; i < words / done; i++)
            sums[i] = HALF_LOW(sums[2 * i], sums[2 * i + 1]) + HALF_HIGH(sums[2 * i], sums[2 * i + 1]);
#endif
    return sums[0];
}

/* Where `merge` puts the sum of a code: codes of fewer words than a vector lie several in each. */
INLINE int NAME(lane_of)(int code, const int words)
{
    const int together = words ? WORDS / words : 1;
    if (words == 1 || together == 1)
        return code;
    int vector = code / together;
    return vector / 2 * 4 + code % together * 2 + vector % 2;
}

/* Whether parts can add up to the distance of a code without overflow: their sum is then taken last. */
INLINE int NAME(is_short)(const int64_t vectors)
{
    return 8 * WORDS * vectors < 256 && PART_VECTORS < 256;
}

/* The popcounts of a code of `vectors` vectors, of parts where it is short enough, else of words. */
INLINE VECTOR NAME(count_code)(const uint8_t *at, const NAME(direct_query) *query, const int64_t vectors)
{
    VECTOR total = {0};
    for (int64_t from = 0; from < vectors; from += PART_VECTORS) {
        int64_t to = vectors - from < PART_VECTORS ? vectors : from + PART_VECTORS;
        VECTOR parts = {0};
        for (int64_t v = from; v < (to < vectors ? to : vectors - 1); v++)
            parts += COUNT_PARTS(LOAD(at + v * VECTOR_BYTES) ^ LOAD(query->code + v * VECTOR_BYTES));
        if (to == vectors) {
            int64_t last = query->bytes > VECTOR_BYTES ? query->bytes - VECTOR_BYTES : 0;
            parts += COUNT_PARTS((LOAD(at + last) & query->mask) ^ query->last);
        }
        if (NAME(is_short)(vectors))
            return parts;
        total += SUM_PARTS(parts);
    }
    return total;
}

/* The distances of the next WORDS codes, or of 2 * WORDS where a code is half a word (words = 0). Codes of one to
 * WORDS words fill vectors between them (vectors = 0). */
INLINE VECTOR NAME(distances)(const uint8_t *at, const NAME(direct_query) *query, const int words,
                              const int64_t vectors)
{
    if (words == 0)
        return COUNT_HALVES(LOAD(at) ^ query->last);
    VECTOR sums[WORDS];
    if (vectors == 0)
        for (int v = 0; v < words; v++)
            sums[v] = COUNT_PARTS(LOAD(at + v * VECTOR_BYTES) ^ query->last);
    else
        for (int code = 0; code < WORDS; code++)
            sums[code] = NAME(count_code)(at + code * query->bytes, query, vectors);
    VECTOR merged = NAME(merge)(sums, words);
    return NAME(is_short)(vectors) ? SUM_PARTS(merged) : merged;
}

INLINE void NAME(direct_shape)(jr_hamming *search, jr_hamming_worker *worker, int64_t number, int64_t from, int64_t to,
                               const int words, const int64_t vectors, NAME(direct_query) query)
{
    const int lanes = words ? 1 : 2, together = words > 1 ? 2 : 4, step = together * lanes * WORDS;
    const uint64_t each = words ? 1 : 0x100000001ull, bias = 1 << 30;
    const uint8_t *at = search->codes + from * query.bytes;
    int64_t row = from, stop = to;
    const int64_t fetched = search->fetches && number == 0 ? step * query.bytes : 0; /* once for all queries */
    if (vectors && query.bytes < VECTOR_BYTES) { /* the vector of a code reads on into the next ones */
        int64_t safe = search->n - (VECTOR_BYTES - 1) / query.bytes;
        stop = safe < to ? safe : to;
    }
    for (; row + step <= stop; row += step, at += step * query.bytes) {
        VECTOR distances[4], near = {0}, limit = (VECTOR){0} + (uint64_t)(worker->limits[number] + (int64_t)bias) * each;
        for (int64_t line = 0; line < fetched; line += 64)
            __builtin_prefetch(at + JR_PREFETCH_BYTES + line);
#pragma GCC unroll 4
        for (int v = 0; v < together; v++) {
            distances[v] = NAME(distances)(at + v * lanes * WORDS * query.bytes, &query, words, vectors);
            near |= limit - distances[v]; /* the bias stays where distance <= limit */
        }
        if (!ANY(near & (bias * each)))
            continue;
        uint64_t found[4 * WORDS];
        uint32_t halves[8 * WORDS];
        memcpy(found, distances, (size_t)together * sizeof(VECTOR));
        memcpy(halves, distances, (size_t)together * sizeof(VECTOR));
        for (int i = 0; i < step; i++) {
            int lane = words ? i / WORDS * WORDS + NAME(lane_of)(i % WORDS, words) : 0;
            int64_t distance = words ? (int64_t)found[lane] : (int64_t)halves[i];
            if (distance <= worker->limits[number])
                jr_hamming_offer(search, worker, number, distance, row + i);
        }
    }
    NAME(direct_rows)(search, worker, number, row, to, query.bytes);
}

/* `mask`: see the query's. */
INLINE NAME(direct_query) NAME(prepare)(const jr_hamming *search, int64_t number, int64_t vectors, VECTOR mask)
{
    const int64_t bytes = search->bytes;
    NAME(direct_query) query = {.code = search->queries + number * bytes, .bytes = bytes, .mask = mask};
    if (vectors == 0) {
        const uint64_t *words = search->words + number * search->chunks;
        for (int64_t w = 0; w < WORDS; w++)
            query.last[w] = bytes == 4 ? words[0] * 0x100000001ull : words[w & (search->chunks - 1)];
    } else if (bytes >= VECTOR_BYTES) {
        query.last = LOAD(query.code + bytes - VECTOR_BYTES) & mask;
    } else {
        memcpy(&query.last, query.code, (size_t)bytes);
    }
    return query;
}

TARGET static void NAME(direct)(jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n)
{
    const int64_t bytes = search->bytes, block = JR_DIRECT_BYTES / bytes + 1;
    const int64_t whole = bytes <= VECTOR_BYTES && bytes >= 4 && (bytes & (bytes - 1)) == 0;
    const int64_t vectors = whole ? 0 : (bytes + VECTOR_BYTES - 1) / VECTOR_BYTES;
    const VECTOR all = ~(VECTOR){0};
    uint8_t own[WORDS * 8] = {0};
    if (vectors && bytes < VECTOR_BYTES)
        memset(own, 0xFF, (size_t)bytes);
    else if (vectors)
        memset(own + (vectors * VECTOR_BYTES - bytes), 0xFF, (size_t)(bytes - (vectors - 1) * VECTOR_BYTES));
    VECTOR mask;
    memcpy(&mask, own, sizeof mask);
    for (int64_t from = first; from < first + n; from += block)
        for (int64_t number = 0; number < search->count; number++) {
            int64_t to = first + n - from < block ? first + n : from + block;
            NAME(direct_query) query = NAME(prepare)(search, number, vectors, mask);
#define SHAPE(words, vectors) NAME(direct_shape)(search, worker, number, from, to, words, vectors, query)
            if (bytes == 4)
                SHAPE(0, 0);
            else if (bytes == 8)
                SHAPE(1, 0);
            else if (bytes == 16)
                SHAPE(2, 0);
#if WORDS >= 4
            else if (bytes == 32)
                SHAPE(4, 0);
#endif
#if WORDS >= 8
            else if (bytes == 64)
                SHAPE(8, 0);
#endif
            else if (vectors == 1)
                SHAPE(WORDS, 1);
            else if (bytes == 2 * VECTOR_BYTES) {
                query.mask = all; /* known here, so that the compiler leaves the AND out */
                SHAPE(WORDS, 2);
            } else if (bytes == 4 * VECTOR_BYTES) {
                query.mask = all;
                SHAPE(WORDS, 4);
            } else if (bytes == 8 * VECTOR_BYTES) {
                query.mask = all;
                SHAPE(WORDS, 8);
#if WORDS == 2
            } else if (bytes == 16 * VECTOR_BYTES) {
                query.mask = all;
                SHAPE(WORDS, 16);
#endif
            } else
                SHAPE(WORDS, vectors);
#undef SHAPE
        }
}

#undef LOAD
#undef VECTOR_BYTES

#else

TARGET static void NAME(direct)(jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n)
{
    const int64_t block = JR_DIRECT_BYTES / search->bytes + 1;
    for (int64_t from = first; from < first + n; from += block)
        for (int64_t query = 0; query < search->count; query++) {
            int64_t to = first + n - from < block ? first + n : from + block;
            switch (search->bytes) {
#define WIDTH(bytes) \
    case bytes: \
        NAME(direct_rows)(search, worker, query, from, to, bytes); \
        break
                WIDTH(4);
                WIDTH(8);
                WIDTH(16);
                WIDTH(32);
                WIDTH(64);
                WIDTH(128);
                WIDTH(256);
#undef WIDTH
            default:
                NAME(direct_rows)(search, worker, query, from, to, search->bytes);
            }
        }
}

#endif
