/* Several queries: tables of half-bytes. Included by hamming_kernel.h where the level defines NIBBLES and
 *   OP(x)              the Intel intrinsic x of this width, without its prefix
 *   INTEGERS           the type that it takes
 *   TABLE(at)          16 bytes from memory, in every 128 bits
 *   ZEROS(v)           a bit for each byte of v, set where it is 0
 *
 * A block of codes is turned into planes of half-bytes, one byte a code. How the half-bytes of two queries differ from
 * each of 16 is a table of 16 bytes with two counts each, which a byte shuffle looks up for a vector of codes at once.
 * Three such bytes add up before a count outgrows its four bits; the sums of them add up to a + 16 b of the queries'
 * distances a and b, and their upper halves to b, both modulo 256, over 32 bytes of code. That costs three instructions
 * for 16 to 64 codes, 4 bits and two queries, and the planes so little that they pay from the second or third query on.
 */
#define CODES (WORDS * 8) /* in a vector */

/* Eight bytes of CODES codes as 8 vectors: 128-bit lane L of vector i holds the codes 16 L + 2 i and the next one.
 * Codes from `have` on are told as the last one that there is. */
INLINE void NAME(gather)(const uint8_t *from, int64_t stride, const int64_t width, int64_t have, INTEGERS *pairs)
{
#define WORD(c) jr_load_word(from + ((c) < have ? (c) : have - 1) * stride, width)
#define PAIR(c) WORD(c), WORD((c) + 1)
    for (int64_t i = 0; i < 16; i += 2) {
#if WORDS == 2
        pairs[i / 2] = (INTEGERS)(VECTOR){PAIR(i)};
#elif WORDS == 4
        pairs[i / 2] = (INTEGERS)(VECTOR){PAIR(i), PAIR(16 + i)};
#else
        pairs[i / 2] = (INTEGERS)(VECTOR){PAIR(i), PAIR(16 + i), PAIR(32 + i), PAIR(48 + i)};
#endif
    }
#undef WORD
#undef PAIR
}

/* Bytes 0 .. width - 1 of those words, a vector each, in the order of the codes. */
INLINE void NAME(transpose_bytes)(const INTEGERS *pairs, INTEGERS *bytes)
{
    const INTEGERS zip = TABLE(((const uint8_t[16]){0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15}));
    INTEGERS twos[8], fours[8], eights[8];
    for (int i = 0; i < 8; i++)
        twos[i] = OP(shuffle_epi8)(pairs[i], zip); /* two of byte 0, of byte 1, .. */
    for (int i = 0; i < 8; i += 2) {
        fours[i] = OP(unpacklo_epi16)(twos[i], twos[i + 1]);     /* four of each of the bytes 0 .. 3 */
        fours[i + 1] = OP(unpackhi_epi16)(twos[i], twos[i + 1]); /* and 4 .. 7 */
    }
    for (int i = 0; i < 8; i += 4)
        for (int half = 0; half < 2; half++) {
            eights[i + 2 * half] = OP(unpacklo_epi32)(fours[i + half], fours[i + 2 + half]);
            eights[i + 2 * half + 1] = OP(unpackhi_epi32)(fours[i + half], fours[i + 2 + half]);
        }
    for (int i = 0; i < 4; i++) {
        bytes[2 * i] = OP(unpacklo_epi64)(eights[i], eights[4 + i]);
        bytes[2 * i + 1] = OP(unpackhi_epi64)(eights[i], eights[4 + i]);
    }
}

/* For each code byte the planes of its low and high half, JR_NIBBLE_VECTORS vectors each. Byte p of vector v is of code
 * v * CODES + p of the block. */
TARGET static void NAME(make_nibbles)(const jr_hamming *search, const uint8_t *codes, int64_t n, INTEGERS *planes)
{
    const int64_t stride = search->bytes;
    const VECTOR low = (VECTOR)OP(set1_epi8)(15);
    for (int64_t line = 0; line < stride; line += 64)
        for (int v = 0; v < JR_NIBBLE_VECTORS && v * CODES < n; v++)
            for (int64_t chunk = line; chunk < stride && chunk < line + 64; chunk += 8) {
                const uint8_t *from = codes + v * CODES * stride + chunk;
                const int64_t width = stride - chunk < 8 ? stride - chunk : 8, have = n - v * CODES;
                INTEGERS pairs[8], bytes[8];
                if (have < CODES)
                    NAME(gather)(from, stride, width, have, pairs);
                else if (width == 8)
                    NAME(gather)(from, stride, 8, CODES, pairs);
                else if (width == 4)
                    NAME(gather)(from, stride, 4, CODES, pairs);
                else
                    NAME(gather)(from, stride, width, CODES, pairs);
                NAME(transpose_bytes)(pairs, bytes);
                for (int64_t byte = 0; byte < width; byte++) {
                    INTEGERS *to = planes + (chunk + byte) * 2 * JR_NIBBLE_VECTORS + v;
                    to[0] = (INTEGERS)((VECTOR)bytes[byte] & low);
                    to[JR_NIBBLE_VECTORS] = (INTEGERS)((VECTOR)OP(srli_epi16)(bytes[byte], 4) & low);
                }
            }
}

/* Looks `n` half-bytes up and adds the counts, at most three of them. */
INLINE void NAME(add_nibbles)(const jr_hamming *search, const uint8_t *picks, const INTEGERS *planes, const int n,
                              INTEGERS *both, INTEGERS *upper)
{
    const VECTOR low = (VECTOR)OP(set1_epi8)(15);
    INTEGERS tables[3];
    for (int i = 0; i < n; i++)
        tables[i] = TABLE(search->nibble_tables + 16 * picks[i]);
    for (int v = 0; v < JR_NIBBLE_VECTORS; v++) {
        INTEGERS counts = OP(shuffle_epi8)(tables[0], planes[v]);
        for (int i = 1; i < n; i++)
            counts = OP(add_epi8)(counts, OP(shuffle_epi8)(tables[i], planes[i * JR_NIBBLE_VECTORS + v]));
        both[v] = OP(add_epi8)(both[v], counts);
        upper[v] = OP(add_epi8)(upper[v], (INTEGERS)((VECTOR)OP(srli_epi16)(counts, 4) & low));
    }
}

/* The differences of `nibbles` half-bytes, at most of 32 bytes, to two queries, modulo 256. */
INLINE void NAME(count_nibbles)(const jr_hamming *search, const uint8_t *picks, int64_t nibbles, const INTEGERS *planes,
                                INTEGERS *first, INTEGERS *second)
{
    const VECTOR high = (VECTOR)OP(set1_epi8)((char)0xF0);
    for (int v = 0; v < JR_NIBBLE_VECTORS; v++)
        first[v] = second[v] = (INTEGERS)(VECTOR){0};
    int64_t at = 0;
    for (; at + 3 <= nibbles; at += 3)
        NAME(add_nibbles)(search, picks + at, planes + at * JR_NIBBLE_VECTORS, 3, first, second);
    for (; at < nibbles; at++)
        NAME(add_nibbles)(search, picks + at, planes + at * JR_NIBBLE_VECTORS, 1, first, second);
    for (int v = 0; v < JR_NIBBLE_VECTORS; v++)
        first[v] = OP(sub_epi8)(first[v], (INTEGERS)((VECTOR)OP(slli_epi16)(second[v], 4) & high));
}

/* Offers the codes of a block whose byte in `over` is 0, by ascending id, of those that it has. Of 32 bytes that differ
 * in every bit the sum is 0, so the distance is computed again. */
TARGET static void NAME(offer_zeros)(jr_hamming *search, jr_hamming_worker *worker, int64_t query, const INTEGERS *over,
                                     int64_t first, int64_t n)
{
    const int64_t bytes = search->bytes;
    for (int64_t v = 0; v * CODES < n; v++) {
        uint64_t near = ZEROS(over[v]);
        if (n - v * CODES < 64)
            near &= ((uint64_t)1 << (n - v * CODES)) - 1;
        for (; near; near &= near - 1) {
            int64_t id = first + v * CODES + __builtin_ctzll(near);
            int64_t distance = NAME(distance)(search->queries + query * bytes, search->codes + id * bytes, bytes);
            if (distance <= worker->limits[query])
                jr_hamming_offer(search, worker, query, distance, id);
        }
    }
}

/* Takes the counts of one query over the part of the code from `from` on; after the last part offers the codes that are
 * near enough. `partial` has room for 16-bit sums of the parts. */
INLINE void NAME(settle_nibbles)(jr_hamming *search, jr_hamming_worker *worker, int64_t query, const INTEGERS *sums,
                                 INTEGERS *partial, int64_t from, int64_t first, int64_t n)
{
    const INTEGERS zero = (INTEGERS)(VECTOR){0};
    const int64_t limit = worker->limits[query];
    if (limit < 0)
        return; /* k results at distance 0: nothing later can enter */
    INTEGERS over[JR_NIBBLE_VECTORS];
    if (search->bytes <= JR_NIBBLE_BYTES) {
        const INTEGERS most = OP(set1_epi8)((char)(limit < 255 ? limit : 255));
        for (int v = 0; v < JR_NIBBLE_VECTORS; v++)
            over[v] = OP(subs_epu8)(sums[v], most);
    } else {
        const INTEGERS most = OP(set1_epi16)((short)limit);
        for (int v = 0; v < JR_NIBBLE_VECTORS; v++) {
            INTEGERS even = OP(unpacklo_epi8)(sums[v], zero), odd = OP(unpackhi_epi8)(sums[v], zero);
            if (from) {
                even = OP(add_epi16)(even, partial[2 * v]);
                odd = OP(add_epi16)(odd, partial[2 * v + 1]);
            }
            partial[2 * v] = even;
            partial[2 * v + 1] = odd;
            over[v] = OP(packus_epi16)(OP(subs_epu16)(even, most), OP(subs_epu16)(odd, most));
        }
        if (from + JR_NIBBLE_BYTES < search->bytes)
            return;
    }
    INTEGERS least = over[0];
    for (int v = 1; v < JR_NIBBLE_VECTORS; v++)
        least = OP(min_epu8)(least, over[v]);
    if (ZEROS(least))
        NAME(offer_zeros)(search, worker, query, over, first, n);
}

TARGET static void NAME(nibbles)(jr_hamming *search, jr_hamming_worker *worker, int64_t first, int64_t n)
{
    enum { BLOCK = JR_NIBBLE_VECTORS * CODES };
    const int64_t bytes = search->bytes;
    INTEGERS *planes = (INTEGERS *)worker->planes;
    const int64_t ahead = BLOCK * bytes > JR_PREFETCH_BYTES ? BLOCK * bytes : JR_PREFETCH_BYTES;
    for (int64_t block = first; block < first + n; block += BLOCK) {
        const int64_t codes = first + n - block < BLOCK ? first + n - block : BLOCK;
        for (int64_t line = 0; line < codes * bytes; line += 64)
            __builtin_prefetch(search->codes + block * bytes + ahead + line);
        NAME(make_nibbles)(search, search->codes + block * bytes, codes, planes);
        for (int64_t tile = 0; tile < search->count; tile += JR_QUERY_TILE) {
            const int64_t end = tile + JR_QUERY_TILE < search->count ? tile + JR_QUERY_TILE : search->count;
            for (int64_t from = 0; from < bytes; from += JR_NIBBLE_BYTES) {
                const int64_t width = bytes - from < JR_NIBBLE_BYTES ? bytes - from : JR_NIBBLE_BYTES;
                for (int64_t query = tile; query < end; query += 2) {
                    const uint8_t *picks = search->nibble_picks + (query * bytes + 2 * from);
                    INTEGERS sums[2][JR_NIBBLE_VECTORS];
                    NAME(count_nibbles)(search, picks, 2 * width, planes + from * 2 * JR_NIBBLE_VECTORS, sums[0],
                                        sums[1]);
                    for (int i = 0; i < 2 && query + i < end; i++)
                        NAME(settle_nibbles)(search, worker, query + i, sums[i],
                                             (INTEGERS *)worker->partial + (query + i - tile) * 2 * JR_NIBBLE_VECTORS,
                                             from, block, codes);
                }
            }
        }
    }
}

#undef CODES
