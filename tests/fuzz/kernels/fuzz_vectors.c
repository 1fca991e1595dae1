/* Nearest vectors against brute force in the same order of additions, so that results must have the same bits:
 * Euclidean distance, cosine, PAR, a gallery in parts, cells of an inverted file, rows that are not finite. */
#include "input.h"
#include "topk.h"
#include "topk_cells.h"

typedef struct {
    int64_t dimensions, queries, n, k;
    int threads, metric, level;
    float *query_rows, *rows;
    int64_t parts[3]; /* where the gallery is cut */
    int64_t bad_rows;
} vector_case;

/* Sixteen running sums and a fixed tree, as topk_kernel.h has it. */
static double tree_sum(const double *terms, int64_t count)
{
    double sums[16] = {0};
    for (int64_t i = 0; i < count; i++)
        sums[i % 16] += terms[i];
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++)
            sums[i] += sums[i + width];
    return sums[0];
}

static float euclidean(const float *a, const float *b, int64_t dimensions)
{
    double terms[1024];
    for (int64_t i = 0; i < dimensions; i++)
        terms[i] = ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return (float)sqrt(tree_sum(terms, dimensions));
}

static double dot(const float *a, const float *b, int64_t dimensions)
{
    double terms[1024];
    for (int64_t i = 0; i < dimensions; i++)
        terms[i] = (double)a[i] * (double)b[i];
    return tree_sum(terms, dimensions);
}

static double cosine(const float *a, const float *b, int64_t dimensions)
{
    double aa = dot(a, a, dimensions), bb = dot(b, b, dimensions);
    if (aa == 0 || bb == 0)
        return 0;
    double c = dot(a, b, dimensions) / sqrt(aa * bb);
    return c > 1 ? 1 : c < -1 ? -1 : c;
}

static float distance_of(const vector_case *c, int64_t query, int64_t row)
{
    const float *a = c->query_rows + query * c->dimensions, *b = c->rows + row * c->dimensions;
    if (c->metric != JR_COSINE)
        return euclidean(a, b, c->dimensions);
    return (float)(rint((1 - cosine(a, b, c->dimensions)) * 0x1p40) * 0x1p-40);
}

static int is_bad(const vector_case *c, int64_t row)
{
    for (int64_t i = 0; i < c->dimensions; i++)
        if (!isfinite(c->rows[row * c->dimensions + i]))
            return 1;
    return 0;
}

static vector_case take_case(input *in)
{
    vector_case c = {0};
    enum kind kind = take_byte(in) % KINDS, of_queries = take_byte(in) % 4 ? kind : take_byte(in) % KINDS;
    c.dimensions = take_between(in, 1, take_rarely(in) ? 600 : 20);
    c.queries = take_between(in, 1, take_rarely(in) ? 70 : 7);
    c.n = limited(take_between(in, 1, take_rarely(in) ? 500 : 20), c.queries * (c.dimensions + 8));
    c.k = take_between(in, 1, c.n + 2);
    c.metric = (int)take_between(in, JR_EUCLIDEAN, JR_PAR);
    c.threads = take_rarely(in) ? 3 : 1;
    c.level = take_level(in);
    c.parts[0] = take_between(in, 0, c.n);
    c.parts[1] = take_between(in, c.parts[0], c.n);
    c.parts[2] = c.n;
    c.query_rows = take_numbers(in, of_queries, c.queries * c.dimensions);
    for (int64_t i = 0; i < c.queries * c.dimensions; i++)
        if (!isfinite(c.query_rows[i])) /* those are refused before the kernel */
            c.query_rows[i] = 0;
    c.rows = take_numbers(in, kind, c.n * c.dimensions);
    for (int64_t copies = take_between(in, 0, 4); copies; copies--) { /* equal rows, rows equal to a query, zero rows */
        float *row = c.rows + take_between(in, 0, c.n - 1) * c.dimensions;
        size_t bytes = (size_t)c.dimensions * sizeof *row;
        switch (take_byte(in) % 3) {
        case 0:
            memmove(row, c.rows + take_between(in, 0, c.n - 1) * c.dimensions, bytes);
            break;
        case 1:
            memcpy(row, c.query_rows + take_between(in, 0, c.queries - 1) * c.dimensions, bytes);
            break;
        default:
            memset(row, 0, bytes);
        }
    }
    int finite = take_byte(in) % 2;
    for (int64_t i = 0; finite && i < c.n * c.dimensions; i++)
        if (!isfinite(c.rows[i]))
            c.rows[i] = 0;
    for (int64_t row = 0; row < c.n; row++)
        c.bad_rows += is_bad(&c, row);
    return c;
}

static void check_scan(const vector_case *c, int level, const ranked *nearest)
{
    jr_topk *search = jr_topk_new(c->query_rows, c->queries, c->dimensions, c->k, c->metric, c->threads, level);
    REQUIRE(search, "level %d", level);
    int64_t bad_row = -1;
    for (int part = 0; part < 3 && bad_row < 0; part++) {
        int64_t first = part ? c->parts[part - 1] : 0, count = c->parts[part] - first;
        if (count == 0)
            continue;
        int status = jr_topk_add(search, c->rows + first * c->dimensions, count, first, NULL, NULL, &bad_row);
        REQUIRE(status == (bad_row < 0 ? JR_OK : JR_STOPPED), "level %d: status %d", level, status);
    }
    REQUIRE((bad_row >= 0) == (c->bad_rows > 0), "level %d: row %d, %d are bad", level, (int)bad_row, (int)c->bad_rows);
    REQUIRE(bad_row < 0 || (bad_row < c->n && is_bad(c, bad_row)), "level %d: row %d", level, (int)bad_row);
    int64_t *ids = exactly(c->queries * c->k, sizeof *ids);
    float *distances = exactly(c->queries * c->k, sizeof *distances), *cosines = exactly(c->queries * c->k, sizeof *cosines);
    REQUIRE(jr_topk_finish(search, ids, distances, c->metric == JR_PAR ? cosines : NULL) == JR_OK, "level %d", level);
    for (int64_t place = 0; !c->bad_rows && place < c->queries * c->k; place++) {
        int64_t query = place / c->k, i = place % c->k, id = ids[place];
        if (i >= c->n) {
            REQUIRE(id == -1 && isinf(distances[place]), "level %d", level);
            continue;
        }
        ranked expected = nearest[query * c->n + i];
        REQUIRE(id == expected.id && distances[place] == (float)expected.distance,
                "level %d, metric %d, query %d, place %d: id %d at %.9g, not %d at %.9g", level, c->metric, (int)query,
                (int)i, (int)id, (double)distances[place], (int)expected.id, expected.distance);
        const float *q = c->query_rows + query * c->dimensions, *row = c->rows + id * c->dimensions;
        REQUIRE(c->metric != JR_PAR || cosines[place] == (float)cosine(q, row, c->dimensions), "level %d", level);
    }
    jr_topk_free(search);
    free(ids);
    free(distances);
    free(cosines);
}

static void check_cells(input *in, const vector_case *c)
{
    int64_t cells = take_between(in, 1, 9), probes = take_between(in, 1, cells);
    int64_t *offsets = exactly(cells + 1, sizeof *offsets), *names = exactly(c->n, sizeof *names);
    int64_t *probed = exactly(c->queries * probes, sizeof *probed);
    offsets[0] = 0;
    for (int64_t cell = 0; cell < cells; cell++)
        offsets[cell + 1] = cell + 1 == cells ? c->n : take_between(in, offsets[cell], c->n);
    int64_t step = take_between(in, 1, 1000), turned = take_byte(in) % 2;
    for (int64_t row = 0; row < c->n; row++)
        names[row] = (turned ? c->n - 1 - row : row) * step;
    for (int64_t query = 0; query < c->queries; query++)
        for (int64_t p = 0, first = take_between(in, 0, cells - 1); p < probes; p++)
            probed[query * probes + p] = take_byte(in) % 5 ? (first + p) % cells : -1;
    jr_cells table = {c->rows, names, offsets, c->dimensions};
    int64_t *ids = exactly(c->queries * c->k, sizeof *ids), bad_row;
    float *distances = exactly(c->queries * c->k, sizeof *distances);
    ranked *expected = exactly(c->n, sizeof *expected);
    FOR_EACH_LEVEL(level, c->level) {
        int status = jr_topk_cells(&table, c->query_rows, c->queries, probed, probes, c->k, c->threads, level, NULL, NULL,
                                   ids, distances, &bad_row);
        REQUIRE(status == (bad_row < 0 ? JR_OK : JR_STOPPED), "level %d: status %d", level, status);
        REQUIRE(bad_row < 0 || (bad_row < c->n && is_bad(c, bad_row)), "level %d: row %d", level, (int)bad_row);
        for (int64_t query = 0; bad_row < 0 && query < c->queries; query++) {
            int64_t count = 0;
            for (int64_t p = 0; p < probes; p++) {
                int64_t cell = probed[query * probes + p];
                for (int64_t row = cell < 0 ? 0 : offsets[cell]; row < (cell < 0 ? 0 : offsets[cell + 1]); row++) {
                    REQUIRE(!is_bad(c, row), "level %d: row %d was passed over", level, (int)row);
                    float distance = euclidean(c->query_rows + query * c->dimensions, c->rows + row * c->dimensions, c->dimensions);
                    expected[count++] = (ranked){distance, names[row]};
                }
            }
            qsort(expected, (size_t)count, sizeof *expected, by_distance_and_id);
            for (int64_t i = 0; i < c->k; i++) {
                int64_t place = query * c->k + i;
                REQUIRE(i < count ? ids[place] == expected[i].id && distances[place] == (float)expected[i].distance
                                  : ids[place] == -1 && isinf(distances[place]),
                        "level %d, query %d, place %d: id %d", level, (int)query, (int)i, (int)ids[place]);
            }
        }
    }
    free(offsets);
    free(names);
    free(probed);
    free(ids);
    free(distances);
    free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = input_of(data, size);
    vector_case c = take_case(&in);
    ranked *nearest = exactly(c.queries * c.n, sizeof *nearest);
    for (int64_t q = 0; !c.bad_rows && q < c.queries; q++) {
        for (int64_t row = 0; row < c.n; row++)
            nearest[q * c.n + row] = (ranked){distance_of(&c, q, row), row};
        qsort(nearest + q * c.n, (size_t)c.n, sizeof *nearest, by_distance_and_id);
    }
    FOR_EACH_LEVEL(level, c.level)
        check_scan(&c, level, nearest);
    check_cells(&in, &c);
    free(nearest);
    free(c.query_rows);
    free(c.rows);
    return 0;
}
