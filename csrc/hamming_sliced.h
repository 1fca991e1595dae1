/* Many queries: bit slices. Included by hamming_kernel.h where the level defines
 *   XOR3(a, b, c)      a ^ b ^ c
 *   MAJORITY(a, b, c)  bits set in two or more
 *   SELECT(m, a, b)    m ? a & b : a | b
 *   ANY(v)             whether a bit of v is set
 *
 * A block of codes is turned into bit planes, one vector a bit, so that a vector holds one bit of 128 to 512 codes.
 * Planes are taken in threes; for each of the 8 values that three query bits can have, a table holds the two-bit
 * count of differing bits. The table serves all queries. For one query the 22 counts of a 64-bit chunk are picked
 * from the table and added by carry-save adders, which yields the distances of the whole block in binary, one plane a
 * digit; these are compared with the query's limit, again bitwise. That costs 0.2 instructions a pair of 64-bit codes
 * instead of the 4 / 8 of XOR, count and compare.
 */
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

/* Adds two planes to one of the same weight, which becomes the digit; returns the carries, of twice the weight. */
INLINE VECTOR NAME(add)(VECTOR *sum, VECTOR a, VECTOR b)
{
    const VECTOR carry = MAJORITY(a, b, *sum);
    *sum = XOR3(a, b, *sum);
    return carry;
}

/* The part of a group's count of this weight, 0 or 1 as a power of 2. */
#define COUNT(group, weight) (((const VECTOR *)((const char *)table + picks[group]))[weight])

/* Adds four groups to the digits of weight 1, 2 and 4; returns carries of weight 8, and in `fours` of weight 4. */
INLINE VECTOR NAME(add_four)(const VECTOR *table, const uint16_t *picks, VECTOR *digits, VECTOR *fours)
{
    const VECTOR one = NAME(add)(&digits[0], COUNT(0, 0), COUNT(1, 0)), a = NAME(add)(&digits[1], COUNT(0, 1), COUNT(1, 1));
    const VECTOR other = NAME(add)(&digits[0], COUNT(2, 0), COUNT(3, 0)), b = NAME(add)(&digits[1], COUNT(2, 1), COUNT(3, 1));
    *fours = NAME(add)(&digits[1], one, other);
    return NAME(add)(&digits[2], a, b);
}

/* Adds eight groups to the digits of weight 1 to 8; returns carries of weight 16, and in `eights` of weight 8. */
INLINE VECTOR NAME(add_eight)(const VECTOR *table, const uint16_t *picks, VECTOR *digits, VECTOR *eights)
{
    VECTOR one, other;
    const VECTOR a = NAME(add_four)(table, picks, digits, &one), b = NAME(add_four)(table, picks + 4, digits, &other);
    *eights = NAME(add)(&digits[2], one, other);
    return NAME(add)(&digits[3], a, b);
}

/* Adds the distances of one query to a block over one chunk to the digits of weight 1 to 64. Groups are added one after
 * another, so that few planes are alive at a time; returns the carries. */
INLINE VECTOR NAME(add_chunk)(const VECTOR *table, const uint16_t *picks, VECTOR *digits)
{
    VECTOR one, other;
    VECTOR a = NAME(add_eight)(table, picks, digits, &one), b = NAME(add_eight)(table, picks + 8, digits, &other);
    const VECTOR sixteens = NAME(add)(&digits[3], one, other);
    const VECTOR high = NAME(add)(&digits[4], a, b);
    a = NAME(add_four)(table, picks + 16, digits, &one);
    other = NAME(add)(&digits[0], COUNT(20, 0), COUNT(21, 0)); /* the last group has one bit */
    other = NAME(add)(&digits[1], COUNT(20, 1), other);
    b = NAME(add)(&digits[2], one, other);
    const VECTOR low = NAME(add)(&digits[4], sixteens, NAME(add)(&digits[3], a, b));
    const VECTOR carry = NAME(add)(&digits[5], high, low), last = digits[6];
    digits[6] = last ^ carry;
    return last & carry;
}

#undef COUNT

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
                    VECTOR *partial = (VECTOR *)worker->partial + (query - tile) * wide;
                    if (chunk == 0) {
                        VECTOR digits[JR_CHUNK_DIGITS] = {{0}};
                        NAME(add_chunk)(table, picks, digits);
                        if (chunks == 1) {
                            VECTOR beyond = NAME(beyond)(digits, JR_CHUNK_DIGITS, limit, absent);
                            if (ANY(~beyond))
                                NAME(offer_block)(search, worker, query, beyond, block);
                            continue;
                        }
#pragma GCC unroll 8
                        for (int i = 0; i < JR_CHUNK_DIGITS; i++)
                            partial[i] = digits[i];
                        for (int64_t i = JR_CHUNK_DIGITS; i < wide; i++)
                            partial[i] = (VECTOR){0};
                        continue;
                    }
                    VECTOR digits[JR_CHUNK_DIGITS];
#pragma GCC unroll 8
                    for (int i = 0; i < JR_CHUNK_DIGITS; i++)
                        digits[i] = partial[i];
                    VECTOR carry = NAME(add_chunk)(table, picks, digits);
#pragma GCC unroll 8
                    for (int i = 0; i < JR_CHUNK_DIGITS; i++)
                        partial[i] = digits[i];
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
                        if (ANY(~greater))
                            NAME(offer_block)(search, worker, query, greater, block);
                    }
                }
            }
        }
    }
}
