/* The body of the DTW kernels, included once for each instruction set (dtw_x86.c, dtw_generic.c) with
 *   TARGET             the function attribute
 *   NAME(x)            the name of x at this level
 *   LANES              floats in a register
 *   ROWS               gallery frames held in registers, times up to three vectors of query frames
 *   VECTOR, INTS       vectors of LANES floats and of LANES int32
 *   LOAD(p), SPLAT(x), MINIMUM(a, b)
 *   ANY_BELOW(a, b)    whether !(a >= b) in any lane
 *   NAME(transpose)    LANES rows of LANES floats become LANES vectors
 *
 * Every sum runs over the dimensions in one order in one lane, so its bits do not depend on LANES. A product is rounded
 * before it is added: rounded once with the sum, as newer processors can, it would have other bits, which older ones
 * take twenty times as long to imitate. Where additions have units of their own, this costs next to nothing.
 */
#define INLINE TARGET static inline __attribute__((always_inline))
#define SEGMENT JR_DTW_SEGMENT
#define MAX_WIDE 3

TARGET static void NAME(pack)(const float *frames, int64_t count, int64_t dimensions, float *packed)
{
    for (int64_t v = 0; v * LANES < count; v++) {
        float *out = packed + v * dimensions * LANES;
        for (int64_t lane = 0; lane < LANES; lane++) {
            int64_t i = v * LANES + lane;
            if (i < count)
                for (int64_t k = 0; k < dimensions; k++)
                    out[k * LANES + lane] = frames[i * dimensions + k];
            else
                for (int64_t k = 0; k < dimensions; k++)
                    out[k * LANES + lane] = 0.0f;
        }
    }
}

/* The distances of ROWS rows to vector v once more, from the differences, where the products cancelled. */
TARGET __attribute__((noinline)) static void NAME(repair)(const jr_dtw_panel *panel, const float *const *rows,
                                                           const float *row_squares, int64_t v, float *out)
{
    int64_t dimensions = panel->dimensions;
    const float *packed = panel->packed + v * dimensions * LANES;
    VECTOR total[ROWS];
    for (int r = 0; r < ROWS; r++)
        total[r] = SPLAT(0.0f);
    for (int64_t k0 = 0; k0 < dimensions; k0 += JR_DTW_DEPTH) {
        int64_t k1 = k0 + JR_DTW_DEPTH < dimensions ? k0 + JR_DTW_DEPTH : dimensions;
        VECTOR sum[ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
            sum[r] = SPLAT(0.0f);
        for (int64_t k = k0; k < k1; k++) {
            VECTOR a = LOAD(packed + k * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) {
                VECTOR difference = a - SPLAT(rows[r][k]);
                sum[r] = sum[r] + difference * difference;
            }
        }
        for (int r = 0; r < ROWS; r++)
            total[r] += sum[r];
    }
    for (int r = 0; r < ROWS; r++) {
        float *cost = out + r * panel->width + v * LANES;
        float direct[LANES];
        memcpy(direct, &total[r], sizeof direct);
        for (int lane = 0; lane < LANES; lane++) {
            float squares = panel->squares[v * LANES + lane] + row_squares[r];
            if (!(cost[lane] >= squares * JR_DTW_CANCELLED))
                cost[lane] = direct[lane];
        }
    }
}

#define LINE 16 /* floats of a cache line */

/* Adds dimension `k` of all rows; `packed` and `at` point to some dimension before it. */
INLINE void NAME(add_dimension)(int wide, VECTOR (*sum)[MAX_WIDE], const float *const *packed, const float *const *at,
                                int64_t k)
{
    VECTOR a[MAX_WIDE];
#pragma GCC unroll 3
    for (int w = 0; w < wide; w++)
        a[w] = LOAD(packed[w] + k * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
        VECTOR b = SPLAT(at[r][k]);
#pragma GCC unroll 3
        for (int w = 0; w < wide; w++)
            sum[r][w] = sum[r][w] + a[w] * b;
    }
}

/* ROWS rows by `wide` vectors over dimensions [k0, k1); `next` are the rows that will be wanted after these. */
INLINE void NAME(tile)(int wide, const jr_dtw_panel *panel, const float *const *rows, const float *const *next,
                       const float *row_squares, int64_t v, int64_t k0, int64_t k1, float *out)
{
    int64_t stride = panel->dimensions * LANES, width = panel->width, k = k0;
    const float *packed = panel->packed + v * stride;
    VECTOR sum[ROWS][MAX_WIDE];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 3
        for (int w = 0; w < wide; w++)
            sum[r][w] = SPLAT(0.0f);
    for (;; k += LINE) {
        const float *at[ROWS], *a[MAX_WIDE];
#pragma GCC unroll 3
        for (int w = 0; w < wide; w++)
            a[w] = packed + w * stride + k * LANES;
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
            at[r] = rows[r] + k;
        if (k + LINE > k1) {
            for (int64_t i = 0; k + i < k1; i++)
                NAME(add_dimension)(wide, sum, a, at, i);
            break;
        }
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
            __builtin_prefetch(next[r] + k);
        for (int i = 0; i < LINE; i++)
            NAME(add_dimension)(wide, sum, a, at, i);
    }
    out += v * LANES;
    if (k0 > 0)
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 3
            for (int w = 0; w < wide; w++)
                sum[r][w] = LOAD(out + r * width + w * LANES) + sum[r][w];
    if (k1 < panel->dimensions || !row_squares) {
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 3
            for (int w = 0; w < wide; w++)
                STORE(out + r * width + w * LANES, sum[r][w]);
        return;
    }
    int cancelled[MAX_WIDE] = {0};
#pragma GCC unroll 3
    for (int w = 0; w < wide; w++) {
        VECTOR frame_squares = LOAD(panel->squares + (v + w) * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) {
            VECTOR squares = frame_squares + SPLAT(row_squares[r]);
            VECTOR cost = squares - SPLAT(2.0f) * sum[r][w];
            cancelled[w] |= ANY_BELOW(cost, squares * SPLAT(JR_DTW_CANCELLED));
            STORE(out + r * width + w * LANES, cost);
        }
    }
    for (int w = 0; w < wide; w++)
        if (cancelled[w])
            NAME(repair)(panel, rows, row_squares, v + w, out - v * LANES);
}

#define TILES(wide)                                                                                             \
    TARGET static void NAME(tiles_##wide)(const jr_dtw_panel *panel, const float *const *rows,                  \
                                          const float *row_squares, int64_t count, int64_t v, float *out)       \
    {                                                                                                           \
        for (int64_t k0 = 0; k0 < panel->dimensions; k0 += JR_DTW_DEPTH) {                                      \
            int64_t k1 = k0 + JR_DTW_DEPTH < panel->dimensions ? k0 + JR_DTW_DEPTH : panel->dimensions;         \
            for (int64_t r = 0; r < count; r += ROWS)                                                           \
                NAME(tile)(wide, panel, rows + r, rows + (r + ROWS < count ? r + ROWS : r),                     \
                           row_squares ? row_squares + r : NULL, v, k0, k1, out + r * panel->width);            \
        }                                                                                                       \
    }
TILES(1)
TILES(2)
TILES(3)
#undef TILES

TARGET static void NAME(costs)(const jr_dtw_panel *panel, const float **rows, float *row_squares, int64_t count,
                               int64_t first, int64_t last, float *out)
{
    for (; count % ROWS; count++) {
        rows[count] = rows[count - 1];
        if (row_squares)
            row_squares[count] = row_squares[count - 1];
    }
    for (int64_t v = first; v < last;) {
        int64_t left = last - v;
        if (left == 1) {
            NAME(tiles_1)(panel, rows, row_squares, count, v, out);
            v += 1;
        } else if (left == 2 || left == 4) {
            NAME(tiles_2)(panel, rows, row_squares, count, v, out);
            v += 2;
        } else {
            NAME(tiles_3)(panel, rows, row_squares, count, v, out);
            v += 3;
        }
    }
}

/* Four rows of the dynamic programming at once, row r one query frame behind row r - 1, so that four chains of
 * additions are in flight. `state` holds the row before and becomes the fourth; `corner` is its element -1.
 * `cost` is row 0 at the first query frame, the next frame is `step` vectors away. ends[r] is row r's last cell. */
INLINE void NAME(advance)(int windowed, VECTOR *state, const VECTOR *cost, ptrdiff_t row, ptrdiff_t step,
                          int64_t frames, VECTOR corner, VECTOR *ends, INTS lowest, INTS highest, int64_t j)
{
    const VECTOR infinite = SPLAT(INFINITY);
    VECTOR left[4] = {infinite, infinite, infinite, infinite}, diagonal[4] = {infinite, infinite, infinite, infinite};
    VECTOR above_left = corner;
    for (int64_t t = 0; t < frames + 3; t++) {
        VECTOR above = state[t], next[4];
        next[0] = cost[t * step] + MINIMUM(MINIMUM(above, above_left), left[0]);
#pragma GCC unroll 3
        for (int r = 1; r < 4; r++)
            next[r] = cost[r * row + (t - r) * step] + MINIMUM(MINIMUM(left[r - 1], diagonal[r - 1]), left[r]);
        if (windowed)
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                int32_t off = (int32_t)(t - r - (j + r));
                INTS inside = ((INTS){0} + off >= lowest) & ((INTS){0} + off <= highest);
                next[r] = (VECTOR)(((INTS)next[r] & inside) | ((INTS)infinite & ~inside));
            }
        if (t < 3) {
            next[3] = infinite;
            if (t < 2)
                next[2] = infinite;
            if (t < 1)
                next[1] = infinite;
        } else {
            state[t - 3] = next[3];
        }
        if (t >= frames - 1)
            ends[t - frames + 1] = next[t - frames + 1];
        above_left = above;
#pragma GCC unroll 4
        for (int r = 0; r < 4; r++) {
            diagonal[r] = left[r];
            left[r] = next[r];
        }
    }
}

TARGET static void NAME(advance_all)(VECTOR *state, const VECTOR *cost, ptrdiff_t row, ptrdiff_t step, int64_t frames,
                                     VECTOR corner, VECTOR *ends)
{
    INTS none = {0};
    NAME(advance)(0, state, cost, row, step, frames, corner, ends, none, none, 0);
}

TARGET static void NAME(advance_band)(VECTOR *state, const VECTOR *cost, ptrdiff_t row, ptrdiff_t step, int64_t frames,
                                      VECTOR corner, VECTOR *ends, INTS lowest, INTS highest, int64_t j)
{
    NAME(advance)(1, state, cost, row, step, frames, corner, ends, lowest, highest, j);
}

/* The vectors of the frames of the one query that the windows of all lanes touch in gallery frames
 * [j, j + SEGMENT). */
static inline void NAME(touched)(int64_t frames, int64_t lowest, int64_t highest, int reverse, int64_t j,
                                 int64_t *first, int64_t *last)
{
    int64_t from = j + lowest, to = j + SEGMENT - 1 + highest;
    from = from < 0 ? 0 : from > frames - 1 ? frames - 1 : from;
    to = to < 0 ? 0 : to > frames - 1 ? frames - 1 : to;
    if (reverse) {
        int64_t low = frames - 1 - to, high = frames - 1 - from;
        from = from < low ? from : low;
        to = to > high ? to : high;
    }
    *first = from / LANES;
    *last = to / LANES + 1;
}

TARGET static void NAME(group)(const jr_dtw_panel *panel, const jr_dtw_group *group, jr_dtw_scratch *scratch,
                               float *distances)
{
    const jr_dtw_sequences *gallery = group->gallery;
    const int64_t dimensions = panel->dimensions;
    const int windowed = group->window < JR_DTW_NO_WINDOW;
    const ptrdiff_t row = panel->width + 6; /* `advance` reads three vectors past both ends */
    VECTOR *turned = (VECTOR *)scratch->turned + 3;
    VECTOR *states[2] = {(VECTOR *)scratch->forward, (VECTOR *)scratch->backward};
    const VECTOR infinite = SPLAT(INFINITY);

    int64_t length[LANES] = {0}, longest = 0, lowest = 0, highest = 0;
    int32_t low[LANES] = {0}, high[LANES] = {0};
    for (int lane = 0; lane < group->count; lane++) {
        length[lane] = jr_dtw_length(gallery, group->members[lane]);
        jr_dtw_band band = jr_dtw_band_of(panel->frames[0], length[lane], group->window);
        low[lane] = (int32_t)band.lowest;
        high[lane] = (int32_t)band.highest;
        lowest = band.lowest < lowest ? band.lowest : lowest;
        highest = band.highest > highest ? band.highest : highest;
        longest = length[lane] > longest ? length[lane] : longest;
        for (int64_t q = 0; q < panel->queries; q++)
            distances[q * JR_DTW_MAX_LANES + lane] = INFINITY;
    }
    /* Of a sum of costs, what the roundings of the additions that are still to come leave at least. */
    const double roundings = 2 * (double)(panel->frames[0] + longest) * 0x1p-24;
    const float share = roundings < 1 ? (float)(1 - roundings) : 0.0f;
    INTS low_lanes, high_lanes;
    memcpy(&low_lanes, low, sizeof low);
    memcpy(&high_lanes, high, sizeof high);
    for (int64_t i = 0; i < panel->width + 6 * panel->queries; i++)
        states[0][i] = states[1][i] = infinite;

    uint32_t live = (uint32_t)((1u << group->count) - 1);
    for (int64_t j = 0; live; j += SEGMENT) {
        int64_t first = 0, last = panel->vectors, count = 0, rows = longest - j < SEGMENT ? longest - j : SEGMENT;
        if (windowed)
            NAME(touched)(panel->frames[0], lowest, highest, group->reverse, j, &first, &last);
        const float *source[SEGMENT][LANES];
        for (int r = 0; r < SEGMENT; r++)
            for (int lane = 0; lane < LANES; lane++)
                source[r][lane] = scratch->costs; /* any memory: these lanes are not looked at */
        for (int lane = 0; lane < LANES; lane++) {
            if (!(live >> lane & 1))
                continue;
            int64_t member = group->members[lane];
            const float *frame = gallery->frames[member] + j * dimensions;
            const float *square = gallery->squares + gallery->offsets[member] + j;
            for (int64_t r = 0; r < SEGMENT && j + r < length[lane]; r++, count++) {
                scratch->rows[count] = frame + r * dimensions;
                scratch->row_squares[count] = square[r];
                source[r][lane] = scratch->costs + count * panel->width;
            }
        }
        NAME(costs)(panel, scratch->rows, scratch->row_squares, count, first, last, scratch->costs);
        for (int64_t q = 0; q < panel->queries; q++) {
            const int64_t frames = panel->frames[q], left = panel->first[q], right = panel->first[q + 1];
            VECTOR *forward = states[0] + left * LANES + 6 * q, *backward = states[1] + left * LANES + 6 * q;
            const int64_t from = first > left ? first : left, to = last < right ? last : right;
            for (int64_t r = 0; r < rows; r += 4) {
                VECTOR ends[4], back[4];
                VECTOR corner = j + r == 0 ? SPLAT(0.0f) : infinite;
                const VECTOR *cost = turned;
                for (int64_t four = 0; four < 4; four++)
                    for (int64_t v = from; v < to; v++)
                        NAME(transpose)(source[r + four], v * LANES, turned + four * row + (v - left) * LANES);
                if (windowed)
                    NAME(advance_band)(forward, cost, row, 1, frames, corner, ends, low_lanes, high_lanes, j + r);
                else
                    NAME(advance_all)(forward, cost, row, 1, frames, corner, ends);
                if (group->reverse) {
                    cost += frames - 1;
                    if (windowed)
                        NAME(advance_band)(backward, cost, row, -1, frames, corner, back, low_lanes, high_lanes, j + r);
                    else
                        NAME(advance_all)(backward, cost, row, -1, frames, corner, back);
                    for (int e = 0; e < 4; e++)
                        ends[e] = MINIMUM(ends[e], back[e]);
                }
                for (int lane = 0; lane < group->count; lane++) {
                    int64_t end = length[lane] - 1 - (j + r);
                    if ((live >> lane & 1) && end >= 0 && end < 4) {
                        float lanes[LANES];
                        memcpy(lanes, &ends[end], sizeof lanes);
                        distances[q * JR_DTW_MAX_LANES + lane] = lanes[lane];
                    }
                }
            }
        }
        for (int lane = 0; lane < group->count; lane++)
            if (length[lane] <= j + SEGMENT)
                live &= ~(1u << lane);
        if (!(group->limit < INFINITY) || !live)
            continue;
        VECTOR least = infinite;
        for (int64_t i = 0; i < panel->frames[0]; i++)
            least = MINIMUM(least, group->reverse ? MINIMUM(states[0][i], states[1][i]) : states[0][i]);
        float lanes[LANES];
        memcpy(lanes, &least, sizeof lanes);
        for (int lane = 0; lane < group->count; lane++) {
            if (!(live >> lane & 1))
                continue;
            float behind = group->rest ? group->rest[lane][j / SEGMENT] : 0.0f;
            if ((lanes[lane] + behind) * share > group->limit)
                live &= ~(1u << lane);
        }
    }
}

TARGET static void NAME(extremes)(const float *products, int64_t width, int64_t frames, const float *along,
                                  int64_t count, float *sums, float *least)
{
    for (int64_t r = 0; r < count; r += LANES) {
        int64_t some = count - r < LANES ? count - r : LANES;
        const float *rows[LANES];
        for (int64_t lane = 0; lane < LANES; lane++)
            rows[lane] = products + (r + (lane < some ? lane : 0)) * width;
        VECTOR sum = SPLAT(0.0f), smallest = SPLAT(INFINITY);
        for (int64_t at = 0; at < frames; at += LANES) {
            VECTOR turned[LANES];
            NAME(transpose)(rows, at, turned);
            for (int64_t i = at; i < frames && i < at + LANES; i++) {
                sum += turned[i - at];
                smallest = MINIMUM(smallest, SPLAT(along[i]) - turned[i - at]);
            }
        }
        memcpy(sums + r, &sum, (size_t)some * sizeof *sums);
        memcpy(least + r, &smallest, (size_t)some * sizeof *least);
    }
}

const jr_dtw_level NAME(jr_dtw) = {LANES, NAME(pack), NAME(costs), NAME(group), NAME(extremes)};

#undef INLINE
#undef SEGMENT
#undef MAX_WIDE
#undef LINE
