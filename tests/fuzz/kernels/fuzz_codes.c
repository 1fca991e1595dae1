/* Searches of binary codes against brute force: scan, radius, and the multi-index with sound and with damaged tables. */
#include "hamming.h"
#include "input.h"
#include "multi_index.h"

typedef struct {
    int64_t bytes, queries, n, k, radius;
    int threads, level;
    uint8_t *query_codes, *codes;
    ranked *nearest; /* (queries, n) by (distance, id) */
} code_case;

static int bits_apart(const uint8_t *a, const uint8_t *b, int64_t bytes)
{
    int sum = 0;
    for (int64_t i = 0; i < bytes; i++)
        for (unsigned differing = a[i] ^ b[i]; differing; differing &= differing - 1)
            sum++;
    return sum;
}

static uint8_t *take_codes(input *in, int64_t count)
{
    uint8_t *codes = exactly(count, 1);
    uint8_t alphabet = (uint8_t)take_between(in, 1, 255); /* few values make equal distances */
    for (int64_t i = 0; i < count; i++)
        codes[i] = (uint8_t)(take_byte(in) % alphabet * (256 / alphabet));
    return codes;
}

static code_case take_case(input *in)
{
    code_case c = {0};
    c.bytes = take_between(in, 1, take_rarely(in) ? 140 : 10);
    c.queries = take_between(in, 1, take_rarely(in) ? 90 : 10);
    c.n = limited(take_between(in, 1, take_rarely(in) ? 700 : 20), c.queries * (c.bytes + 8));
    c.k = take_between(in, 1, c.n + 2);
    c.radius = take_between(in, 0, 8 * c.bytes);
    c.threads = take_rarely(in) ? 3 : 1;
    c.level = take_level(in);
    c.query_codes = take_codes(in, c.queries * c.bytes);
    c.codes = take_codes(in, c.n * c.bytes);
    c.nearest = exactly(c.queries * c.n, sizeof *c.nearest);
    for (int64_t q = 0; q < c.queries; q++) {
        for (int64_t i = 0; i < c.n; i++)
            c.nearest[q * c.n + i] = (ranked){bits_apart(c.query_codes + q * c.bytes, c.codes + i * c.bytes, c.bytes), i};
        qsort(c.nearest + q * c.n, (size_t)c.n, sizeof *c.nearest, by_distance_and_id);
    }
    return c;
}

static int64_t within(const code_case *c, int64_t query)
{
    int64_t count = 0;
    while (count < c->n && c->nearest[query * c->n + count].distance <= (double)c->radius)
        count++;
    return count;
}

static void check_scan(const code_case *c, int level)
{
    int64_t *ids = exactly(c->queries * c->k, sizeof *ids);
    float *distances = exactly(c->queries * c->k, sizeof *distances);
    jr_hamming *search = jr_hamming_new(c->query_codes, c->queries, c->bytes, c->k, 0, c->threads, level);
    REQUIRE(search && jr_hamming_search(search, c->codes, c->n, NULL, NULL) == JR_OK, "level %d", level);
    REQUIRE(jr_hamming_finish(search, ids, distances) == JR_OK, "level %d", level);
    for (int64_t q = 0; q < c->queries; q++)
        for (int64_t i = 0; i < c->k; i++) {
            int64_t id = ids[q * c->k + i];
            if (i >= c->n)
                REQUIRE(id == -1 && isinf(distances[q * c->k + i]), "level %d", level);
            else
                REQUIRE(id == c->nearest[q * c->n + i].id && distances[q * c->k + i] == c->nearest[q * c->n + i].distance,
                        "level %d, query %d, place %d: id %d", level, (int)q, (int)i, (int)id);
        }
    jr_hamming_free(search);
    free(ids);
    free(distances);
}

static void check_radius(const code_case *c, int level)
{
    jr_hamming *search = jr_hamming_new(c->query_codes, c->queries, c->bytes, 0, c->radius, c->threads, level);
    REQUIRE(search && jr_hamming_search(search, c->codes, c->n, NULL, NULL) == JR_OK, "level %d", level);
    int64_t total = jr_hamming_found(search), *offsets = exactly(c->queries + 1, sizeof *offsets);
    REQUIRE(total >= 0, "level %d", level);
    int64_t *ids = exactly(total, sizeof *ids);
    float *distances = exactly(total, sizeof *distances);
    REQUIRE(jr_hamming_collect(search, offsets, ids, distances) == JR_OK, "level %d", level);
    for (int64_t q = 0; q < c->queries; q++) {
        int64_t count = within(c, q);
        REQUIRE(offsets[q + 1] - offsets[q] == count, "level %d, query %d", level, (int)q);
        for (int64_t i = 0; i < count; i++)
            REQUIRE(ids[offsets[q] + i] == c->nearest[q * c->n + i].id
                        && distances[offsets[q] + i] == c->nearest[q * c->n + i].distance,
                    "level %d, query %d, place %d", level, (int)q, (int)i);
    }
    REQUIRE(offsets[0] == 0 && offsets[c->queries] == total, "level %d", level);
    jr_hamming_free(search);
    free(offsets);
    free(ids);
    free(distances);
}

/* What a search of the tables found is what a scan finds, unless they are damaged: then anything but a crash. */
static void search_tables(const code_case *c, const jr_multi_index *index, int64_t k, int64_t budget, int popcount,
                          int sound)
{
    int64_t *touched = exactly(c->queries, sizeof *touched);
    jr_index_search *search
        = jr_index_search_new(index, c->query_codes, c->queries, k, c->radius, budget, c->threads, popcount);
    REQUIRE(search, "k %d", (int)k);
    int status = jr_index_search_run(search, touched, NULL, NULL);
    REQUIRE(status == JR_OK || (!sound && status == JR_CORRUPT), "status %d", status);
    for (int64_t q = 0; sound && q < c->queries; q++) {
        const uint64_t *keys;
        int64_t size = jr_index_search_result(search, q, &keys);
        int64_t expected = touched[q] < 0 ? 0 : k ? (k < c->n ? k : c->n) : within(c, q);
        REQUIRE(size == expected, "query %d: %d, not %d", (int)q, (int)size, (int)expected);
        for (int64_t i = 0; i < size; i++)
            REQUIRE((int64_t)(keys[i] & JR_ID_MASK) == c->nearest[q * c->n + i].id
                        && (double)(keys[i] >> JR_ID_BITS) == c->nearest[q * c->n + i].distance,
                    "query %d, place %d", (int)q, (int)i);
    }
    jr_index_search_free(search);
    free(touched);
}

static void check_tables(input *in, const code_case *c)
{
    enum { MOST_TABLES = 1120 };
    int64_t firsts[MOST_TABLES + 1] = {0}, starts[MOST_TABLES + 1] = {0};
    int tables = 0;
    for (; firsts[tables] < 8 * c->bytes; tables++) {
        int64_t width = take_between(in, 1, take_rarely(in) ? 12 : 6), left = 8 * c->bytes - firsts[tables];
        width = width < left ? width : left;
        firsts[tables + 1] = firsts[tables] + width;
        starts[tables + 1] = starts[tables] + (1 << width) + 1;
    }
    uint32_t *offsets = exactly(starts[tables], sizeof *offsets), *ids = exactly(tables * c->n, sizeof *ids);
    jr_multi_index index = {c->codes, c->n, c->bytes, tables, firsts, starts, offsets, ids};
    REQUIRE(jr_multi_index_build(&index, offsets, ids, c->threads, NULL, NULL) == JR_OK, "%d tables", tables);
    int64_t budget = take_between(in, 1, 20000), k = take_between(in, 0, c->n);
    for (int popcount = 0; popcount <= jr_simd_supported(JR_AVX2); popcount++)
        search_tables(c, &index, k, budget, popcount, 1);
    for (int64_t damage = take_between(in, 1, 8); damage; damage--) {
        uint32_t value = (uint32_t)take_between(in, 0, c->n + 1) * (take_byte(in) % 4 ? 1 : 0x01010101u);
        if (take_byte(in) % 2)
            offsets[take_between(in, 0, starts[tables] - 1)] = value;
        else
            ids[take_between(in, 0, tables * c->n - 1)] = value;
    }
    search_tables(c, &index, k, budget, jr_simd_supported(JR_AVX2), 0);
    free(offsets);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = input_of(data, size);
    code_case c = take_case(&in);
    FOR_EACH_LEVEL(level, c.level) {
        check_scan(&c, level);
        check_radius(&c, level);
    }
    check_tables(&in, &c);
    free(c.query_codes);
    free(c.codes);
    free(c.nearest);
    return 0;
}
