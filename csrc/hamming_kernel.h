/* The body of the Hamming search, included once for each instruction set (hamming_x86.c, hamming_generic.c) with
 *   TARGET             the function attribute
 *   NAME(x)            the name of x at this level
 *   WORDS              64-bit words in a vector
 *   XOR3(a, b, c)      a ^ b ^ c
 *   MAJORITY(a, b, c)  bits set in two or more
 *   SELECT(m, a, b)    m ? a & b : a | b
 *   ALL_ONES(v)        whether no bit of v is clear
 *   COUNT(v)           popcount of each word
 *   SWAP_1, SWAP_2, SWAP_4 (v)   exchange neighbouring words, pairs of words, fours (those below WORDS)
 *   FEW                queries up to which the direct form is faster
 */
#include "hamming_state.h"

#define VECTOR NAME(words)
#define UNALIGNED NAME(unaligned_words)
#define INLINE TARGET static inline __attribute__((always_inline))

typedef uint64_t VECTOR __attribute__((vector_size(WORDS * 8)));
typedef uint64_t UNALIGNED __attribute__((vector_size(WORDS * 8), aligned(1), may_alias));

TARGET static int64_t NAME(distance)(const uint8_t *a, const uint8_t *b, int64_t bytes)
{
    int64_t distance = 0, at = 0;
    for (; at + 8 <= bytes; at += 8)
        distance += __builtin_popcountll(jr_load_word(a + at, 8) ^ jr_load_word(b + at, 8));
    if (at < bytes)
        distance += __builtin_popcountll(jr_load_word(a + at, bytes - at) ^ jr_load_word(b + at, bytes - at));
    return distance;
}

/* Word i of the vectors, a 64 x 64 bit matrix for each word, transposed: afterwards bit i of planes[j] is bit j of
 * what rows[i] was. */
TARGET static void NAME(transpose)(VECTOR *x)
{
    uint64_t mask = 0x00000000FFFFFFFFull;
    for (int step = 32; step; step >>= 1, mask ^= mask << step)
        for (int i = 0; i < 64; i = ((i | step) + 1) & ~step) {
            VECTOR moved = ((x[i] >> step) ^ x[i + step]) & mask;
            x[i + step] ^= moved;
            x[i] ^= moved << step;
        }
}

/* Bit planes of up to 64 * WORDS codes; code c stands at bit c / WORDS of word c % WORDS. */
TARGET static void NAME(make_planes)(const jr_hamming *search, const uint8_t *codes, int64_t n, VECTOR *planes)
{
    int64_t bytes = search->bytes;
    for (int64_t chunk = 0; chunk < search->chunks; chunk++) {
        VECTOR *rows = planes + chunk * 64;
        int64_t width = bytes - chunk * 8 < 8 ? bytes - chunk * 8 : 8;
        const uint8_t *from = codes + chunk * 8;
        if (bytes == 8 && n == 64 * WORDS) {
            memcpy(rows, codes, 64 * sizeof *rows);
        } else {
            uint64_t *words = (uint64_t *)rows;
            memset(words, 0, 64 * sizeof *rows);
            if (width == 8)
                for (int64_t c = 0; c < n; c++)
                    memcpy(words + c, from + c * bytes, 8);
            else
                for (int64_t c = 0; c < n; c++)
                    words[c] = jr_load_word(from + c * bytes, width);
        }
        NAME(transpose)(rows);
    }
}

/* For every group of three planes and every value of three query bits: the count of differing bits, two digits. */
TARGET static void NAME(make_table)(const VECTOR *planes, VECTOR *table)
{
    for (int group = 0; group < JR_GROUPS; group++) {
        VECTOR a = planes[3 * group], b = {0}, c = {0};
        if (group < JR_GROUPS - 1) {
            b = planes[3 * group + 1];
            c = planes[3 * group + 2];
        }
        VECTOR *entry = table + group * 16;
        for (int bits = 0; bits < 8; bits++) {
            VECTOR x = bits & 1 ? ~a : a, y = bits & 2 ? ~b : b, z = bits & 4 ? ~c : c;
            entry[2 * bits] = XOR3(x, y, z);
            entry[2 * bits + 1] = MAJORITY(x, y, z);
        }
    }
}

/* Adds n planes of one weight: returns their sum's digit, writes n / 2 carries of the next weight. */
INLINE VECTOR NAME(add)(const VECTOR *in, const int n, VECTOR *carries)
{
    VECTOR sum = in[0];
#pragma GCC unroll 16
    for (int i = 1; i + 1 < n; i += 2) {
        VECTOR carry = MAJORITY(sum, in[i], in[i + 1]);
        sum = XOR3(sum, in[i], in[i + 1]);
        carries[i / 2] = carry;
    }
    if (n % 2 == 0) {
        carries[n / 2 - 1] = sum & in[n - 1];
        sum ^= in[n - 1];
    }
    return sum;
}

/* The distances of one query to a block over one chunk, as binary digits. */
INLINE void NAME(count_chunk)(const VECTOR *table, const uint16_t *picks, VECTOR *digits)
{
    const char *base = (const char *)table;
    VECTOR ones[22], twos[32], fours[16], eights[8], sixteens[4], rest[2], last[1];
#pragma GCC unroll 22
    for (int group = 0; group < JR_GROUPS; group++)
        ones[group] = ((const VECTOR *)(base + picks[group]))[0];
    digits[0] = NAME(add)(ones, 22, twos);
#pragma GCC unroll 21
    for (int group = 0; group < JR_GROUPS - 1; group++)
        twos[11 + group] = ((const VECTOR *)(base + picks[group]))[1];
    digits[1] = NAME(add)(twos, 32, fours);
    digits[2] = NAME(add)(fours, 16, eights);
    digits[3] = NAME(add)(eights, 8, sixteens);
    digits[4] = NAME(add)(sixteens, 4, rest);
    digits[5] = NAME(add)(rest, 2, last);
    digits[6] = last[0];
}

/* Offers the codes of a block that are not `beyond` the limit, by ascending id. */
TARGET static void NAME(offer_block)(jr_hamming *search, jr_hamming_worker *worker, int64_t query, VECTOR beyond,
                                     int64_t first)
{
    uint64_t words[WORDS], any = 0;
    memcpy(words, &beyond, sizeof words);
    for (int w = 0; w < WORDS; w++)
        any |= words[w] = ~words[w];
    const uint8_t *code = search->queries + query * search->bytes;
    for (; any; any &= any - 1) {
        int bit = __builtin_ctzll(any);
        for (int w = 0; w < WORDS; w++)
            if (words[w] >> bit & 1) {
                int64_t id = first + (int64_t)bit * WORDS + w;
                int64_t distance = NAME(distance)(code, search->codes + id * search->bytes, search->bytes);
                if (distance <= worker->limits[query])
                    jr_hamming_offer(search, worker, query, distance, id);
            }
    }
}

/* digits > limit, bitwise; 1 also where the block has no code. */
INLINE VECTOR NAME(beyond)(const VECTOR *digits, const int n, int64_t limit, VECTOR absent)
{
    VECTOR greater = {0};
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        VECTOR bit = (VECTOR){0} - (uint64_t)(limit >> i & 1);
        greater = SELECT(bit, greater, digits[i]);
    }
    return greater | absent;
}

TARGET static void NAME(sliced)(jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n)
{
    VECTOR *planes = (VECTOR *)worker->planes, *table = (VECTOR *)worker->table;
    const int64_t chunks = search->chunks, wide = search->digits;
    for (int64_t block = first; block < first + n; block += 64 * WORDS) {
        int64_t codes = first + n - block < 64 * WORDS ? first + n - block : 64 * WORDS;
        NAME(make_planes)(search, search->codes + block * search->bytes, codes, planes);
        VECTOR absent = {0};
        if (codes < 64 * WORDS) {
            uint64_t words[WORDS] = {0};
            for (int64_t c = codes; c < 64 * WORDS; c++)
                words[c % WORDS] |= 1ull << (c / WORDS);
            memcpy(&absent, words, sizeof absent);
        }
        for (int64_t tile = 0; tile < search->count; tile += JR_QUERY_TILE) {
            int64_t end = tile + JR_QUERY_TILE < search->count ? tile + JR_QUERY_TILE : search->count;
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                NAME(make_table)(planes + chunk * 64, table);
                for (int64_t query = tile; query < end; query++) {
                    const uint16_t *picks = search->picks + (query * chunks + chunk) * JR_GROUPS;
                    int64_t limit = worker->limits[query];
                    if (limit < 0)
                        continue; /* k results at distance 0: nothing later can enter */
                    VECTOR digits[JR_CHUNK_DIGITS];
                    NAME(count_chunk)(table, picks, digits);
                    if (chunks == 1) {
                        VECTOR beyond = NAME(beyond)(digits, JR_CHUNK_DIGITS, limit, absent);
                        if (!ALL_ONES(beyond))
                            NAME(offer_block)(search, worker, query, beyond, block);
                        continue;
                    }
                    VECTOR *partial = (VECTOR *)worker->partial + (query - tile) * wide;
                    if (chunk == 0) {
                        for (int64_t i = 0; i < wide; i++)
                            partial[i] = i < JR_CHUNK_DIGITS ? digits[i] : (VECTOR){0};
                        continue;
                    }
                    VECTOR carry = partial[0] & digits[0];
                    partial[0] ^= digits[0];
#pragma GCC unroll 8
                    for (int i = 1; i < JR_CHUNK_DIGITS; i++) {
                        VECTOR old = partial[i];
                        partial[i] = XOR3(old, digits[i], carry);
                        carry = MAJORITY(old, digits[i], carry);
                    }
                    for (int64_t i = JR_CHUNK_DIGITS; i < wide; i++) {
                        VECTOR old = partial[i];
                        partial[i] = old ^ carry;
                        carry &= old;
                    }
                    if (chunk == chunks - 1) {
                        VECTOR greater = {0};
                        for (int64_t i = 0; i < wide; i++) {
                            VECTOR bit = (VECTOR){0} - (uint64_t)(limit >> i & 1);
                            greater = SELECT(bit, greater, partial[i]);
                        }
                        greater |= absent;
                        if (!ALL_ONES(greater))
                            NAME(offer_block)(search, worker, query, greater, block);
                    }
                }
            }
        }
    }
}

/* The sums of `words` neighbouring words, in each of them. */
INLINE VECTOR NAME(sum_neighbours)(VECTOR v, const int words)
{
    if (words >= 2)
        v += SWAP_1(v);
#if WORDS >= 4
    if (words >= 4)
        v += SWAP_2(v);
#endif
#if WORDS >= 8
    if (words >= 8)
        v += SWAP_4(v);
#endif
    return v;
}

/* Codes of `words` words each, a power of two not above WORDS: several codes a vector, four vectors a step. */
INLINE void NAME(direct_packed)(jr_hamming *search, jr_hamming_worker *worker, int64_t query, int64_t first,
                                int64_t n, const int words)
{
    const int codes = WORDS / words;
    uint64_t pattern[WORDS];
    for (int w = 0; w < WORDS; w++)
        pattern[w] = search->words[query * words + w % words];
    const VECTOR q = *(const UNALIGNED *)pattern;
    const uint8_t *at = search->codes + first * words * 8;
    int64_t row = 0;
    for (; row + 4 * codes <= n; row += 4 * codes, at += 4 * sizeof(VECTOR)) {
        VECTOR distance[4], near[4];
        VECTOR limit = (VECTOR){0} + (uint64_t)worker->limits[query];
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {
            distance[v] = NAME(sum_neighbours)(COUNT(*(const UNALIGNED *)(at + v * sizeof(VECTOR)) ^ q), words);
            /* the sign bit stays clear where distance <= limit; limit may be -1 */
            near[v] = limit - distance[v];
        }
        if (ALL_ONES((VECTOR)((near[0] & near[1] & near[2] & near[3]) >> 63) | ~(VECTOR){0} << 1))
            continue;
        for (int v = 0; v < 4; v++)
            for (int c = 0; c < codes; c++) {
                int64_t found = (int64_t)distance[v][c * words];
                if (found <= worker->limits[query])
                    jr_hamming_offer(search, worker, query, found, first + row + v * codes + c);
            }
    }
    const uint8_t *code = search->queries + query * search->bytes;
    for (; row < n; row++, at += words * 8) {
        int64_t found = NAME(distance)(code, at, words * 8);
        if (found <= worker->limits[query])
            jr_hamming_offer(search, worker, query, found, first + row);
    }
}

TARGET static void NAME(direct)(jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n)
{
    const int64_t bytes = search->bytes;
    for (int64_t query = 0; query < search->count; query++) {
        if (bytes == 8) {
            NAME(direct_packed)(search, worker, query, first, n, 1);
            continue;
        }
        if (bytes == 16) {
            NAME(direct_packed)(search, worker, query, first, n, 2);
            continue;
        }
#if WORDS >= 4
        if (bytes == 32) {
            NAME(direct_packed)(search, worker, query, first, n, 4);
            continue;
        }
#endif
#if WORDS >= 8
        if (bytes == 64) {
            NAME(direct_packed)(search, worker, query, first, n, 8);
            continue;
        }
#endif
        const uint8_t *code = search->queries + query * bytes;
        for (int64_t row = first; row < first + n; row++) {
            const uint8_t *at = search->codes + row * bytes;
            VECTOR sums = {0};
            int64_t done = 0, distance = 0;
            for (; done + (int64_t)sizeof(VECTOR) <= bytes; done += sizeof(VECTOR))
                sums += COUNT(*(const UNALIGNED *)(at + done) ^ *(const UNALIGNED *)(code + done));
            if (done)
                distance = (int64_t)NAME(sum_neighbours)(sums, WORDS)[0];
            distance += NAME(distance)(code + done, at + done, bytes - done);
            if (distance <= worker->limits[query])
                jr_hamming_offer(search, worker, query, distance, row);
        }
    }
}

const jr_hamming_kernel NAME(jr_hamming_kernel) = {WORDS * 8, FEW, NAME(sliced), NAME(direct)};

#undef VECTOR
#undef UNALIGNED
#undef INLINE
