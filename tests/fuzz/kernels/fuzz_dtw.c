/* Dynamic time warping against the full table of costs: all distances, the pruned search, paths and subsequences. */
#include "dtw.h"
#include "input.h"

typedef struct {
    jr_dtw_sequences view;
    float *values;
    const float **frames;
    int64_t *offsets, *segment_offsets;
} sequence_set;

static sequence_set take_set(input *in, enum kind kind, int64_t count, int64_t longest, int64_t dimensions)
{
    sequence_set s = {0};
    s.offsets = exactly(count + 1, sizeof *s.offsets);
    s.segment_offsets = exactly(count + 1, sizeof *s.segment_offsets);
    s.offsets[0] = s.segment_offsets[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t length = take_between(in, 1, longest);
        s.offsets[i + 1] = s.offsets[i] + length;
        s.segment_offsets[i + 1] = s.segment_offsets[i] + (length + JR_DTW_SEGMENT - 1) / JR_DTW_SEGMENT;
    }
    s.values = take_numbers(in, kind, s.offsets[count] * dimensions);
    s.frames = exactly(count, sizeof *s.frames);
    for (int64_t i = 0; i < count; i++)
        s.frames[i] = s.values + s.offsets[i] * dimensions;
    int64_t segments = s.segment_offsets[count];
    s.view = (jr_dtw_sequences){
        .count = count,
        .dimensions = dimensions,
        .frames = s.frames,
        .offsets = s.offsets,
        .squares = exactly(s.offsets[count], sizeof(float)),
        .segment_offsets = s.segment_offsets,
        .centre = exactly(dimensions, sizeof(float)),
        .means = exactly(count * dimensions, sizeof(float)),
        .mean_squares = exactly(count, sizeof(float)),
        .radii = exactly(count, sizeof(float)),
        .segment_means = exactly(segments * dimensions, sizeof(float)),
        .segment_squares = exactly(segments, sizeof(float)),
    };
    return s;
}

static void free_set(sequence_set *s)
{
    void *all[] = {s->values, s->frames, s->offsets, s->segment_offsets, s->view.squares, s->view.centre, s->view.means,
                   s->view.mean_squares, s->view.radii, s->view.segment_means, s->view.segment_squares};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static int64_t length_of(const sequence_set *s, int64_t sequence)
{
    return s->offsets[sequence + 1] - s->offsets[sequence];
}

/* Whether all frames are so that they are taken (1), surely refused (0), or so near the limit that both is right (-1). */
static int is_fit(const sequence_set *s, int64_t sequence)
{
    int fit = 1;
    for (int64_t t = 0; t < length_of(s, sequence); t++) {
        double square = 0;
        for (int64_t i = 0; i < s->view.dimensions; i++) {
            double value = s->frames[sequence][t * s->view.dimensions + i];
            square += value * value;
        }
        if (!(square <= 1.001 * (double)JR_DTW_LARGEST_SQUARE))
            return 0;
        if (square > 0.999 * (double)JR_DTW_LARGEST_SQUARE)
            fit = -1;
    }
    return fit;
}

/* 1 if the sequences can be searched; checks that the right one is refused. */
static int prepare(sequence_set *s, int threads)
{
    int64_t bad;
    int status = jr_dtw_prepare(&s->view, threads, &bad, NULL, NULL);
    REQUIRE(status == (bad < 0 ? JR_OK : JR_STOPPED) && bad < s->view.count, "status %d, bad %d", status, (int)bad);
    for (int64_t i = 0; i < (bad < 0 ? s->view.count : bad); i++)
        REQUIRE(is_fit(s, i) != 0, "sequence %d was taken", (int)i);
    REQUIRE(bad < 0 || is_fit(s, bad) != 1, "sequence %d was refused", (int)bad);
    return bad < 0;
}

static double cost(const float *a, const float *b, int64_t dimensions)
{
    double sum = 0;
    for (int64_t i = 0; i < dimensions; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

/* Within `window` of the diagonal through the first corner, that through the last, or between them. */
static int is_allowed(int64_t i, int64_t j, int64_t a_frames, int64_t b_frames, int64_t window)
{
    int64_t first = i - j, last = (i - (a_frames - 1)) - (j - (b_frames - 1));
    int64_t one = first < 0 ? -first : first, other = last < 0 ? -last : last, nearest = one < other ? one : other;
    return ((first > 0) != (last > 0)) || nearest <= window;
}

enum { MOST_FRAMES = 100 };

static double warped(const float *a, int64_t a_frames, const float *b, int64_t b_frames, int64_t dimensions,
                     int64_t window, int backwards)
{
    static double total[MOST_FRAMES][MOST_FRAMES];
    for (int64_t i = 0; i < a_frames; i++)
        for (int64_t j = 0; j < b_frames; j++) {
            double before = i == 0 && j == 0 ? 0 : INFINITY;
            if (i && total[i - 1][j] < before)
                before = total[i - 1][j];
            if (j && total[i][j - 1] < before)
                before = total[i][j - 1];
            if (i && j && total[i - 1][j - 1] < before)
                before = total[i - 1][j - 1];
            const float *frame = a + (backwards ? a_frames - 1 - i : i) * dimensions;
            total[i][j] = is_allowed(i, j, a_frames, b_frames, window)
                ? before + cost(frame, b + j * dimensions, dimensions) : INFINITY;
        }
    return total[a_frames - 1][b_frames - 1];
}

/* What float32 may lose of a sum of squared differences along a path. */
static double tolerance(enum kind kind, const sequence_set *a, const sequence_set *b)
{
    if (kind == WHOLE)
        return 0;
    double largest = 0;
    for (int64_t i = 0; i < a->offsets[a->view.count]; i++)
        largest = fmax(largest, a->view.squares[i]);
    for (int64_t i = 0; i < b->offsets[b->view.count]; i++)
        largest = fmax(largest, b->view.squares[i]);
    return 1e-4 * largest * 2 * MOST_FRAMES + 1e-30;
}

typedef struct {
    sequence_set queries, gallery;
    enum kind kind;
    int64_t window, k;
    int reverse, threads;
    int64_t *order; /* of the gallery by length */
} dtw_case;

/* All distances; the first level's are kept in `known`, and every other level must have their bits. */
static void check_distances(const dtw_case *c, int level, float *known)
{
    int64_t queries = c->queries.view.count, n = c->gallery.view.count, dimensions = c->gallery.view.dimensions;
    float *found = exactly(queries * n, sizeof *found), *turned = exactly(queries * n, sizeof *turned);
    REQUIRE(jr_dtw_distances(level, &c->queries.view, &c->gallery.view, c->order, c->window, c->reverse, c->threads, found,
                             NULL, NULL) == JR_OK, "level %d", level);
    if (level != JR_PORTABLE)
        REQUIRE(!memcmp(known, found, (size_t)(queries * n) * sizeof *found), "level %d has other bits", level);
    memcpy(known, found, (size_t)(queries * n) * sizeof *found);
    double allowed = tolerance(c->kind, &c->queries, &c->gallery);
    for (int64_t pair = 0; level == JR_PORTABLE && pair < queries * n; pair++) {
        int64_t q = pair / n, g = pair % n, a = length_of(&c->queries, q), b = length_of(&c->gallery, g);
        const float *x = c->queries.frames[q], *y = c->gallery.frames[g];
        double expected = warped(x, a, y, b, dimensions, c->window, 0);
        if (c->reverse)
            expected = fmin(expected, warped(x, a, y, b, dimensions, c->window, 1));
        REQUIRE(fabs(found[pair] - expected) <= allowed, "query %d, sequence %d: %.9g, not %.9g", (int)q, (int)g,
                (double)found[pair], expected);
    }
    if (!c->reverse) { /* arguments exchanged */
        int64_t *order = exactly(queries, sizeof *order);
        for (int64_t q = 0; q < queries; q++)
            order[q] = q;
        REQUIRE(jr_dtw_distances(level, &c->gallery.view, &c->queries.view, order, c->window, 0, c->threads, turned, NULL,
                                 NULL) == JR_OK, "level %d", level);
        for (int64_t pair = 0; pair < queries * n; pair++)
            REQUIRE(found[pair] == turned[pair % n * queries + pair / n], "level %d: exchanged", level);
        free(order);
    }
    free(found);
    free(turned);
}

static void check_search(const dtw_case *c, int level, int prune, const float *distances)
{
    int64_t queries = c->queries.view.count, n = c->gallery.view.count;
    int64_t *ids = exactly(queries * c->k, sizeof *ids);
    float *found = exactly(queries * c->k, sizeof *found);
    jr_dtw_pruning *pruning = exactly(queries, sizeof *pruning);
    ranked *expected = exactly(n, sizeof *expected);
    REQUIRE(jr_dtw_search(level, &c->queries.view, &c->gallery.view, c->k, c->window, c->reverse, prune, c->threads, ids,
                          found, pruning, NULL, NULL) == JR_OK, "level %d", level);
    for (int64_t q = 0; q < queries; q++) {
        for (int64_t g = 0; g < n; g++)
            expected[g] = (ranked){distances[q * n + g], g};
        qsort(expected, (size_t)n, sizeof *expected, by_distance_and_id);
        for (int64_t i = 0; i < c->k; i++)
            REQUIRE(ids[q * c->k + i] == expected[i].id && found[q * c->k + i] == (float)expected[i].distance,
                    "level %d, prune %d, query %d, place %d: %d at %.9g, not %d at %.9g", level, prune, (int)q, (int)i,
                    (int)ids[q * c->k + i], (double)found[q * c->k + i], (int)expected[i].id, expected[i].distance);
        jr_dtw_pruning p = pruning[q];
        REQUIRE(p.by_mean + p.by_segments + p.abandoned + p.measured == n, "level %d: counts", level);
    }
    free(ids);
    free(found);
    free(pruning);
    free(expected);
}

static void check_path(const dtw_case *c, int level, const float *distances)
{
    int64_t a = length_of(&c->queries, 0), b = length_of(&c->gallery, 0), length, dimensions = c->gallery.view.dimensions;
    int64_t *path = exactly(2 * (a + b - 1), sizeof *path);
    float distance;
    REQUIRE(jr_dtw_path(level, &c->queries.view, &c->gallery.view, c->window, &distance, path, &length, NULL, NULL) == JR_OK,
            "level %d", level);
    REQUIRE(c->reverse || distance == distances[0], "level %d: %.9g, not %.9g", level, (double)distance, (double)distances[0]);
    REQUIRE(length >= 1 && length <= a + b - 1 && path[0] == 0 && path[1] == 0, "level %d: %d steps", level, (int)length);
    REQUIRE(path[2 * length - 2] == a - 1 && path[2 * length - 1] == b - 1, "level %d: it does not end", level);
    double sum = 0;
    for (int64_t step = 0; step < length; step++) {
        int64_t i = path[2 * step], j = path[2 * step + 1];
        if (step) {
            int64_t down = i - path[2 * step - 2], right = j - path[2 * step - 1];
            REQUIRE(down >= 0 && right >= 0 && down <= 1 && right <= 1 && down + right, "level %d: step", level);
        }
        REQUIRE(is_allowed(i, j, a, b, c->window), "level %d: outside of the window", level);
        sum += cost(c->queries.frames[0] + i * dimensions, c->gallery.frames[0] + j * dimensions, dimensions);
    }
    REQUIRE(fabs(sum - distance) <= tolerance(c->kind, &c->queries, &c->gallery), "level %d: %.9g, not %.9g", level, sum,
            (double)distance);
    free(path);
}

/* The nearest span that touches no taken frame, by (distance, end, length), for small integers. */
static jr_dtw_span nearest_span(const dtw_case *c, int64_t sequence, const uint8_t *taken)
{
    jr_dtw_span best = {-1, -1, INFINITY};
    const float *frames = c->gallery.frames[sequence];
    int64_t dimensions = c->gallery.view.dimensions, length = length_of(&c->gallery, sequence);
    for (int64_t end = 1; end <= length; end++)
        for (int64_t start = end - 1; start >= 0 && !taken[start]; start--) {
            double distance = warped(c->queries.frames[0], length_of(&c->queries, 0), frames + start * dimensions, end - start,
                                     dimensions, INT64_MAX, 0);
            if (distance < (double)best.distance)
                best = (jr_dtw_span){start, end, (float)distance};
        }
    return best;
}

static void check_spans(const dtw_case *c, int level, int64_t count, jr_dtw_span *known)
{
    int64_t n = c->gallery.view.count;
    jr_dtw_span *spans = exactly(n * count, sizeof *spans);
    REQUIRE(jr_dtw_subsequence(level, &c->queries.view, &c->gallery.view, count, c->threads, spans, NULL, NULL) == JR_OK,
            "level %d", level);
    for (int64_t g = 0; g < n; g++) {
        uint8_t taken[MOST_FRAMES] = {0};
        for (int64_t s = 0; s < count; s++) {
            jr_dtw_span span = spans[g * count + s], first = known[g * count + s];
            REQUIRE(level == JR_PORTABLE || (span.start == first.start && (span.start < 0
                        || (span.end == first.end && span.distance == first.distance))), "level %d has other spans", level);
            if (level == JR_PORTABLE && c->kind == WHOLE && length_of(&c->gallery, g) <= 24) {
                jr_dtw_span expected = nearest_span(c, g, taken);
                REQUIRE(span.start == expected.start && (span.start < 0
                            || (span.end == expected.end && span.distance == expected.distance)),
                        "sequence %d, span %d: [%d, %d) at %g, not [%d, %d) at %g", (int)g, (int)s, (int)span.start,
                        (int)span.end, (double)span.distance, (int)expected.start, (int)expected.end, (double)expected.distance);
            }
            for (int64_t t = span.start; span.start >= 0 && t < span.end; t++) {
                REQUIRE(t < length_of(&c->gallery, g) && !taken[t], "level %d: frame %d", level, (int)t);
                taken[t] = 1;
            }
        }
    }
    memcpy(known, spans, (size_t)(n * count) * sizeof *known);
    free(spans);
}

static const dtw_case *sorted_case;

static int by_length(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    int64_t difference = length_of(&sorted_case->gallery, x) - length_of(&sorted_case->gallery, y);
    return difference ? (difference > 0) - (difference < 0) : (x > y) - (x < y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = input_of(data, size);
    dtw_case c = {.kind = take_byte(&in) % KINDS, .window = JR_DTW_NO_WINDOW};
    int64_t dimensions = take_between(&in, 1, take_rarely(&in) ? 40 : 5), longest = take_rarely(&in) ? MOST_FRAMES - 1 : 11;
    int64_t queries = limited(take_between(&in, 1, take_rarely(&in) ? 12 : 2), longest * longest * dimensions);
    int64_t n = limited(take_between(&in, 1, take_rarely(&in) ? 60 : 5), queries * longest * longest * dimensions / 4 + 1);
    c.k = take_between(&in, 1, n);
    if (take_byte(&in) % 2)
        c.window = take_between(&in, 0, 12);
    c.reverse = take_byte(&in) % 2;
    c.threads = take_rarely(&in) ? 3 : 1;
    int level_too = take_level(&in);
    int64_t spans = take_between(&in, 1, 4);
    c.queries = take_set(&in, c.kind, queries, longest, dimensions);
    c.gallery = take_set(&in, c.kind, n, longest, dimensions);
    c.order = exactly(n, sizeof *c.order);
    for (int64_t i = 0; i < n; i++)
        c.order[i] = i;
    sorted_case = &c;
    qsort(c.order, (size_t)n, sizeof *c.order, by_length);
    int fit = prepare(&c.queries, c.threads);
    fit &= prepare(&c.gallery, c.threads);
    if (fit) {
        float *distances = exactly(queries * n, sizeof *distances);
        jr_dtw_span *known = exactly(n * spans, sizeof *known);
        FOR_EACH_LEVEL(level, level_too) {
            check_distances(&c, level, distances);
            check_search(&c, level, 0, distances);
            check_search(&c, level, 1, distances);
            check_path(&c, level, distances);
            check_spans(&c, level, spans, known);
        }
        free(distances);
        free(known);
    }
    free_set(&c.queries);
    free_set(&c.gallery);
    free(c.order);
    return 0;
}
