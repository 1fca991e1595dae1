/* The driver of the top-k search: memory, the centre, tasks for the threads, and the final order.
 *
 * Why the filter loses nothing. Let u = 2^-24 and x', q' be the row and the query after centring, rounded to
 * float32. Rounding moves each by at most u of its norm, which moves the squared distance by at most 4u(Q + X).
 * A float32 product of d terms, in any order of additions, is within g |q'||x'| <= g (Q + X) / 2 of the true one,
 * g = d u / (1 - d u), and the float32 sum X is within g X. The bias, its subtraction and the limit add a few u
 * of the same quantities. All of that is below e (Q + X) with e = 2 g + 16 u, which jr_topk_limit leaves room for.
 * Rows and queries too large for the bound get a NaN, and every comparison with NaN lets the pair in.
 */
#include <stdlib.h>

#include "cpu_features.h"
#include "memory.h"
#include "topk_state.h"

#define CENTRE_SAMPLE 256
#define SCRATCH_BYTES (256 * 1024)
#define DIRECT_BLOCK_BYTES (256 * 1024)
#define GROUP_BYTES 2200000
#define TASK_PRODUCTS 2000000000LL
/* a second thread takes as long to start as one needs for these */
#define SERIAL_PRODUCTS 1e6
#define SERIAL_RESULTS 20000

#ifdef JR_X86
extern const jr_topk_kernel jr_topk_kernel_avx2, jr_topk_kernel_avx512;
#endif
#ifdef JR_ARM64
extern const jr_topk_kernel jr_topk_kernel_neon;
#else
extern const jr_topk_kernel jr_topk_kernel_portable;
#endif

static jr_topk_kernel kernel_of(int level)
{
#ifdef JR_X86
    if (level == JR_AVX2)
        return jr_topk_kernel_avx2;
    if (level == JR_AVX512 || level == JR_AVX512_VPOPCNT)
        return jr_topk_kernel_avx512;
#endif
#ifdef JR_ARM64
    (void)level;
    return jr_topk_kernel_neon;
#else
    return jr_topk_kernel_portable;
#endif
}

/* How far ahead in a long row to fetch, in floats: what processors fetch by themselves ends with its page. Four rows 512
 * ahead are 8 kB, what fast memory sends while the first of them is on its way; that suits Zen 5, where 96 takes a half
 * longer. On Zen 3, whose memory is a third as fast, 512 takes a tenth to a third longer than 96. AVX-512 tells them
 * apart, whatever level is run. */
static int64_t row_ahead(void)
{
#ifdef JR_X86
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") ? 512 : 96;
#else
    return 512;
#endif
}

static double square_of(const float *x, int64_t d)
{
    /* the same sixteen sums and tree as the kernels, so that cosines of equal vectors are equal */
    double lane[16] = {0};
    for (int64_t i = 0; i < d; i++)
        lane[i % 16] += (double)x[i] * x[i];
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

void jr_topk_free(jr_topk *search)
{
    if (!search)
        return;
    for (int w = 0; search->workers && w < search->threads; w++) {
        jr_topk_worker *worker = &search->workers[w];
        void *owned[] = {
            worker->scores,     worker->rows,    worker->counts,         worker->all_scores, worker->group_rows,
            worker->group_runs, worker->centred, worker->centred_values, worker->pools,      worker->worst,
            worker->sizes,      worker->limits,  worker->scratch,        worker->biases};
        for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
            free(owned[i]);
    }
    free(search->workers);
    free(search->centre);
    free(search->packed);
    free(search->query_squares);
    free(search->packed_squares);
    free(search->all_row_squares);
    free(search);
}

/* So few queries that the candidates of all and all as doubles take GROUP_BYTES, and as many for every thread. That is
 * more than most L2 caches hold, since each group reads the rows anew. */
static int64_t group_size(const jr_topk *search)
{
    double candidates = (double)search->threads * (double)jr_candidate_room(search->k) * sizeof(uint32_t);
    double bytes = candidates + (double)jr_padded_dimensions(search) * sizeof(double); /* k may be any number */
    int64_t most = (int64_t)(GROUP_BYTES / bytes), threads = search->threads;
    int64_t groups = most > 1 ? (search->count + most - 1) / most : search->count;
    groups = (groups + threads - 1) / threads * threads;
    return (search->count + groups - 1) / groups;
}

jr_topk *jr_topk_new(const float *queries, int64_t count, int64_t dimensions, int64_t k, int metric, int threads,
                     int level)
{
    jr_topk *search = jr_allocate(1, 1, 1, sizeof *search);
    if (!search)
        return NULL;
    search->queries = queries;
    search->count = count;
    search->dimensions = dimensions;
    search->k = k;
    search->metric = metric;
    search->threads = threads;
    search->kernel = kernel_of(level);
    search->row_ahead = row_ahead();
    int lanes = search->kernel.lanes, panel = search->kernel.panel_rows;
    int direct = count <= JR_FEW_QUERIES;
    int64_t slices = (dimensions + JR_SLICE - 1) / JR_SLICE;
    int64_t budget = (direct ? DIRECT_BLOCK_BYTES / dimensions : SCRATCH_BYTES / (slices * JR_SLICE)) / 4;
    int64_t patience = TASK_PRODUCTS / dimensions / count; /* tasks stay short for whoever waits to interrupt */
    budget = budget < patience ? budget : patience;
    search->block_rows = budget < panel ? panel : budget / panel * panel;
    search->padded = (count + lanes - 1) / lanes * lanes;
    search->group = group_size(search);
    double du = (double)dimensions * 0x1p-24;
    search->slack = du < 0.05 ? 2.0 * du / (1.0 - du) + 16 * 0x1p-24 : 1.0;

    search->query_squares = jr_allocate(count, 1, 1, sizeof(double));
    search->packed_squares = jr_allocate(count, 1, 1, sizeof(double));
    search->workers = jr_allocate(threads, 1, 1, sizeof *search->workers);
    if (!search->query_squares || !search->packed_squares || !search->workers)
        goto no_memory;
    for (int64_t q = 0; q < count; q++)
        search->query_squares[q] = square_of(queries + q * dimensions, dimensions);
    for (int w = 0; w < threads; w++) {
        jr_topk_worker *worker = &search->workers[w];
        const int64_t room = jr_candidate_room(k);
        worker->scores = jr_reserve(count, room, 1, sizeof *worker->scores);
        worker->rows = jr_reserve(count, room, 1, sizeof *worker->rows);
        worker->counts = jr_allocate(count, 1, 1, sizeof *worker->counts);
        worker->all_scores = jr_reserve(threads, room, 1, sizeof *worker->all_scores);
        worker->group_rows = jr_reserve(search->group, threads, room, sizeof *worker->group_rows);
        worker->group_runs = jr_allocate(search->group, threads, 1, sizeof *worker->group_runs);
        worker->centred = jr_allocate(search->group, 1, 1, sizeof *worker->centred);
        worker->centred_values = jr_reserve(search->group, jr_padded_dimensions(search), 1, sizeof(double));
        worker->pools = jr_reserve(count, jr_pool_size(k), 1, sizeof *worker->pools);
        worker->worst = jr_allocate(count, 1, 1, sizeof *worker->worst);
        worker->sizes = jr_allocate(count, 1, 1, sizeof *worker->sizes);
        worker->limits = jr_allocate(search->padded, 1, 1, sizeof(float));
        worker->scratch = jr_allocate(direct ? 1 : search->block_rows, slices * JR_SLICE, 1, sizeof(float));
        worker->biases = jr_allocate(search->block_rows, 1, 1, sizeof(float));
        if (!worker->scores || !worker->rows || !worker->counts || !worker->all_scores || !worker->group_rows
            || !worker->group_runs || !worker->centred || !worker->centred_values || !worker->pools || !worker->worst
            || !worker->sizes || !worker->limits || !worker->scratch || !worker->biases)
            goto no_memory;
        for (int64_t q = 0; q < count; q++)
            worker->worst[q] = (jr_neighbour){INFINITY, 0, INT64_MAX};
    }
    return search;
no_memory:
    jr_topk_free(search);
    return NULL;
}

/* The mean of a sample of rows (of unit length for the cosine). Any finite centre is right; a good one makes the
 * product's error small beside the distances. */
static void find_centre(jr_topk *search, const float *rows, int64_t n)
{
    int64_t d = search->dimensions, sample = n < CENTRE_SAMPLE ? n : CENTRE_SAMPLE;
    for (int64_t s = 0; s < sample; s++) {
        const float *x = rows + (int64_t)((double)s / (double)sample * (double)n) * d;
        double square = search->metric == JR_COSINE ? square_of(x, d) : 1.0;
        double scale = (square > 0 ? 1.0 / sqrt(square) : 0.0) / (double)sample;
        for (int64_t i = 0; i < d; i++)
            search->centre[i] += (float)(x[i] * scale);
    }
    for (int64_t i = 0; i < d; i++)
        if (!isfinite(search->centre[i]))
            search->centre[i] = 0;
}

static void pack_queries(jr_topk *search)
{
    int64_t d = search->dimensions;
    int lanes = search->kernel.lanes;
    for (int64_t q = 0; q < search->count; q++) {
        const float *x = search->queries + q * d;
        double scale = 1.0, square = 0.0;
        if (search->metric == JR_COSINE)
            scale = search->query_squares[q] > 0 ? 1.0 / sqrt(search->query_squares[q]) : 0.0;
        float *out = search->packed + q / lanes * lanes * d + q % lanes;
        for (int64_t i = 0; i < d; i++) {
            float value = (float)(x[i] * scale) - search->centre[i];
            out[i * lanes] = value;
            square += (double)value * value;
        }
        search->packed_squares[q] = square;
    }
}

static int prepare(jr_topk *search, const float *rows, int64_t n)
{
    int64_t d = search->dimensions;
    search->centre = jr_allocate(d, 1, 1, sizeof(float));
    search->packed = search->count <= JR_FEW_QUERIES ? NULL : jr_allocate(search->padded, d, 1, sizeof(float));
    if (!search->centre)
        return JR_NO_MEMORY;
    if (search->count > JR_FEW_QUERIES) {
        if (!search->packed) {
            free(search->centre);
            search->centre = NULL;
            return JR_NO_MEMORY;
        }
        find_centre(search, rows, n);
        pack_queries(search);
    }
    for (int w = 0; w < search->threads; w++)
        for (int64_t q = 0; q < search->count; q++)
            search->workers[w].limits[q] = jr_topk_limit(search, q, INFINITY);
    return JR_OK;
}

static void search_block(void *context, int64_t task, int worker)
{
    jr_topk *search = context;
    if (atomic_load_explicit(&search->bad_row, memory_order_relaxed) >= 0)
        return;
    int64_t first = task * search->block_rows, rest = search->n - first;
    int64_t n = rest < search->block_rows ? rest : search->block_rows;
    search->kernel.block(search, &search->workers[worker], first, first + n);
}

static void settle_group(void *context, int64_t task, int worker)
{
    jr_topk *search = context;
    int64_t size = search->row_squares ? search->group : 1, first = task * size;
    int64_t end = search->count - first < size ? search->count : first + size;
    search->kernel.settle(search, &search->workers[worker], first, end);
}

/* Has candidates measured together where they will be more than the rows: the k nearest so far of each query are spread
 * over all rows seen. */
static int share_rows(jr_topk *search, int64_t n)
{
    search->row_squares = NULL;
    if (search->count <= JR_FEW_QUERIES || search->count * search->k < search->seen + n)
        return JR_OK;
    if (n > search->row_room) {
        free(search->all_row_squares);
        search->row_room = 0;
        search->all_row_squares = jr_reserve(n, 1, 1, sizeof(double));
        if (!search->all_row_squares)
            return JR_NO_MEMORY;
        search->row_room = n;
    }
    search->row_squares = search->all_row_squares;
    return JR_OK;
}

/* Searches rows that candidates can number. */
static int add_rows(jr_topk *search, const float *rows, int64_t n, int64_t first_id, jr_watch watch, void *watcher,
                    int64_t *bad_row)
{
    search->rows = rows;
    search->n = n;
    search->first_id = first_id;
    atomic_store(&search->bad_row, -1);
    if (share_rows(search, n) != JR_OK)
        return JR_NO_MEMORY;
    int64_t tasks = (n + search->block_rows - 1) / search->block_rows;
    int status = jr_parallel_for(search->threads, tasks, search_block, search, watch, watcher);
    *bad_row = atomic_load(&search->bad_row);
    if (*bad_row >= 0)
        return JR_STOPPED;
    if (status != JR_OK)
        return status;
    double products = (double)search->count * (double)(search->k < n ? search->k : n) * (double)search->dimensions;
    int64_t group = search->row_squares ? search->group : 1, groups = (search->count + group - 1) / group;
    search->seen += n;
    int threads = products > SERIAL_PRODUCTS ? search->threads : 1;
    return jr_parallel_for(threads, groups, settle_group, search, NULL, NULL);
}

int jr_topk_add(jr_topk *search, const float *rows, int64_t n, int64_t first_id, jr_watch watch, void *watcher,
                int64_t *bad_row)
{
    *bad_row = -1;
    if (!search->centre && prepare(search, rows, n) != JR_OK)
        return JR_NO_MEMORY;
    int status = JR_OK;
    for (int64_t row = 0; row < n && status == JR_OK; row += JR_CANDIDATE_ROWS) {
        int64_t rest = n - row < JR_CANDIDATE_ROWS ? n - row : JR_CANDIDATE_ROWS;
        status = add_rows(search, rows + row * search->dimensions, rest, first_id + row, watch, watcher, bad_row);
    }
    return status;
}

typedef struct {
    jr_topk *search;
    int64_t *ids;
    float *distances, *cosines;
    jr_neighbour *all; /* (threads, 2, threads * jr_pool_size(k)) */
} jr_topk_results;

static void write_query(void *context, int64_t query, int worker)
{
    const jr_topk_results *results = context;
    jr_topk *search = results->search;
    const int64_t k = search->k, pool = jr_pool_size(k), room = search->threads * pool;
    jr_neighbour *all = results->all + worker * 2 * room;
    int64_t total = 0;
    for (int w = 0; w < search->threads; w++) {
        const jr_topk_worker *other = &search->workers[w];
        memcpy(all + total, other->pools + query * pool, (size_t)other->sizes[query] * sizeof *all);
        total += other->sizes[query];
    }
    if (total > k + k / 8) { /* to sort a few more takes less */
        jr_select(all, total, k);
        total = k;
    }
    jr_sort(all, total, all + room);
    for (int64_t i = 0; i < k; i++) {
        results->ids[query * k + i] = i < total ? all[i].id : -1;
        results->distances[query * k + i] = i < total ? all[i].distance : INFINITY;
        if (results->cosines)
            results->cosines[query * k + i] = i < total ? all[i].cosine : -INFINITY;
    }
}

int jr_topk_finish(jr_topk *search, int64_t *ids, float *distances, float *cosines)
{
    jr_topk_results results = {search, ids, distances, cosines, NULL};
    results.all = jr_reserve(search->threads, 2 * search->threads, jr_pool_size(search->k), sizeof *results.all);
    if (!results.all)
        return JR_NO_MEMORY;
    int threads = search->count * search->k > SERIAL_RESULTS ? search->threads : 1;
    int status = jr_parallel_for(threads, search->count, write_query, &results, NULL, NULL);
    free(results.all);
    return status;
}
