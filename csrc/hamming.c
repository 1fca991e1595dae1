/* The driver of the Hamming search: memory, tasks for the threads, heaps and lists, and the final order. */
#include "hamming.h"

#include <math.h>

#include "cpu_features.h"
#include "hamming_state.h"
#include "key_heap.h"
#include "memory.h"

#define TASK_BYTES (128 * 1024)
#define TASKS_OF_A_THREAD 4

#ifdef JR_X86
extern const jr_hamming_kernel jr_hamming_kernel_sse4, jr_hamming_kernel_avx2, jr_hamming_kernel_avx512,
    jr_hamming_kernel_avx512_vpopcnt;
#endif
#ifdef JR_ARM64
extern const jr_hamming_kernel jr_hamming_kernel_neon;
#else
extern const jr_hamming_kernel jr_hamming_kernel_portable;
#endif

static jr_hamming_kernel kernel_of(int level)
{
#ifdef JR_X86
    if (level == JR_SSE4)
        return jr_hamming_kernel_sse4;
    if (level == JR_AVX2)
        return jr_hamming_kernel_avx2;
    if (level == JR_AVX512)
        return jr_hamming_kernel_avx512;
    if (level == JR_AVX512_VPOPCNT)
        return jr_hamming_kernel_avx512_vpopcnt;
#endif
#ifdef JR_ARM64
    (void)level;
    return jr_hamming_kernel_neon;
#else
    return jr_hamming_kernel_portable;
#endif
}

void jr_hamming_free(jr_hamming *search)
{
    if (!search)
        return;
    for (int w = 0; search->workers && w < search->threads; w++) {
        free(search->workers[w].heaps);
        free(search->workers[w].sizes);
        free(search->workers[w].limits);
        free(search->workers[w].planes);
        free(search->workers[w].table);
        free(search->workers[w].partial);
        free(search->workers[w].found);
    }
    free(search->workers);
    free(search->picks);
    free(search->nibble_tables);
    free(search->nibble_picks);
    free(search->words);
    free(search);
}

/* Where in the table a query's groups of three bits point. */
static void pick(const uint64_t *words, int64_t chunks, int vector_bytes, uint16_t *picks)
{
    for (int64_t chunk = 0; chunk < chunks; chunk++)
        for (int group = 0; group < JR_GROUPS; group++) {
            unsigned bits = (unsigned)(words[chunk] >> (3 * group)) & 7;
            picks[chunk * JR_GROUPS + group] = (uint16_t)((group * 8 + bits) * 2 * (unsigned)vector_bytes);
        }
}

/* Half-byte `at` of a query's code, the lower half of a byte first. */
static unsigned nibble_of(const uint8_t *code, int64_t at)
{
    return at % 2 ? code[at / 2] >> 4 : code[at / 2] & 15;
}

/* The tables of half-bytes, and which of them every two queries take; the last of an odd number twice. */
static void make_nibble_tables(jr_hamming *search)
{
    static const uint8_t bits[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    uint64_t counts[16][2]; /* (u, i): in how many bits they differ */
    for (int at = 0; at < 16 * 16; at++)
        ((uint8_t *)counts)[at] = bits[at / 16 ^ at % 16];
    for (int at = 0; at < 256 * 2; at++) {
        uint64_t both = counts[at / 2 % 16][at % 2] + (counts[at / 32][at % 2] << 4);
        memcpy(search->nibble_tables + 8 * at, &both, sizeof both);
    }
    for (int64_t query = 0; query < search->count; query += 2) {
        const uint8_t *one = search->queries + query * search->bytes;
        const uint8_t *other = query + 1 < search->count ? one + search->bytes : one;
        uint8_t *picks = search->nibble_picks + query * search->bytes;
        for (int64_t at = 0; at < 2 * search->bytes; at++)
            picks[at] = (uint8_t)(nibble_of(one, at) + 16 * nibble_of(other, at));
    }
}

static jr_hamming_task form_of(const jr_hamming_kernel *kernel, int64_t count, int64_t bytes)
{
    if (count <= kernel->few)
        return kernel->direct;
    if (kernel->sliced && count > kernel->some)
        return kernel->sliced;
    return kernel->nibbles && bytes <= JR_NIBBLE_WIDEST ? kernel->nibbles : kernel->direct;
}

jr_hamming *jr_hamming_new(const uint8_t *queries, int64_t count, int64_t bytes, int64_t k, int64_t radius,
                           int threads, int level)
{
    jr_hamming *search = jr_allocate(1, 1, 1, sizeof *search);
    if (!search)
        return NULL;
    search->queries = queries;
    search->count = count;
    search->bytes = bytes;
    search->k = k;
    search->radius = radius;
    search->threads = threads;
    search->kernel = kernel_of(level);
    search->chunks = (bytes + 7) / 8;
    while (search->chunks * JR_CHUNK_BITS >> search->digits)
        search->digits++;
    search->form = form_of(&search->kernel, count, bytes);
    int nibbles = search->form == search->kernel.nibbles;
    int planes = search->form != search->kernel.direct, sliced = search->form == search->kernel.sliced;
    int vector = search->kernel.vector_bytes;
    search->block = 8 * vector;

    search->words = jr_allocate(count, search->chunks, 1, sizeof(uint64_t));
    search->picks = jr_allocate(sliced ? count : 1, search->chunks, JR_GROUPS, sizeof(uint16_t));
    search->nibble_tables = jr_allocate(nibbles ? 256 : 0, 16, 1, 1);
    search->nibble_picks = jr_allocate(nibbles ? count + 1 : 0, search->bytes, 1, 1);
    search->workers = jr_allocate(threads, 1, 1, sizeof *search->workers);
    if (!search->words || !search->picks || !search->nibble_tables || !search->nibble_picks || !search->workers)
        goto no_memory;
    if (nibbles)
        make_nibble_tables(search);
    for (int64_t q = 0; q < count; q++) {
        uint64_t *words = search->words + q * search->chunks;
        for (int64_t chunk = 0; chunk < search->chunks; chunk++)
            words[chunk] = jr_load_word(queries + q * bytes + chunk * 8, bytes - chunk * 8);
        if (sliced)
            pick(words, search->chunks, vector, search->picks + q * search->chunks * JR_GROUPS);
    }
    for (int w = 0; w < threads; w++) {
        jr_hamming_worker *worker = &search->workers[w];
        worker->heaps = jr_allocate(count, k, 1, sizeof(uint64_t));
        worker->sizes = jr_allocate(count, 1, 1, sizeof(int64_t));
        worker->limits = jr_allocate(count, 1, 1, sizeof(int64_t));
        worker->planes = jr_allocate(planes ? search->chunks : 0, 64, vector, 1);
        worker->table = jr_allocate(sliced ? JR_GROUPS * 16 : 0, vector, 1, 1);
        worker->partial = jr_allocate(planes ? JR_QUERY_TILE : 0, search->digits, vector, 1);
        if (!worker->heaps || !worker->sizes || !worker->limits || !worker->planes || !worker->table
            || !worker->partial)
            goto no_memory;
        for (int64_t q = 0; q < count; q++)
            worker->limits[q] = k || radius > 8 * bytes ? 8 * bytes : radius;
    }
    return search;
no_memory:
    jr_hamming_free(search);
    return NULL;
}

static void append(jr_hamming_worker *worker, int64_t query, uint64_t key)
{
    if (worker->found_size == worker->found_capacity) {
        int64_t capacity = worker->found_capacity ? 2 * worker->found_capacity : 1024;
        uint64_t *grown = worker->failed ? NULL : realloc(worker->found, (size_t)capacity * 2 * sizeof *grown);
        if (!grown) {
            worker->failed = 1;
            return;
        }
        worker->found = grown;
        worker->found_capacity = capacity;
    }
    worker->found[2 * worker->found_size] = (uint64_t)query;
    worker->found[2 * worker->found_size + 1] = key;
    worker->found_size++;
}

void jr_hamming_offer(jr_hamming *search, jr_hamming_worker *worker, int64_t query, int64_t distance, int64_t id)
{
    uint64_t key = (uint64_t)distance << JR_ID_BITS | (uint64_t)id;
    if (search->k == 0) {
        append(worker, query, key);
        return;
    }
    int64_t k = search->k;
    uint64_t *heap = worker->heaps + query * k;
    jr_key_heap_offer(heap, &worker->sizes[query], k, key);
    /* A thread meets ids in ascending order, so a later code at the worst distance cannot enter any more. */
    if (worker->sizes[query] == k)
        worker->limits[query] = (int64_t)(heap[0] >> JR_ID_BITS) - 1;
}

static void search_task(void *context, int64_t task, int worker)
{
    jr_hamming *search = context;
    int64_t first = task * search->task_codes;
    int64_t n = search->n - first < search->task_codes ? search->n - first : search->task_codes;
    jr_hamming_worker *own = &search->workers[worker];
    if (search->form != search->kernel.direct && own->sizes[0] < search->k) {
        int64_t start = JR_FIRST_CODES < n ? JR_FIRST_CODES : n;
        search->kernel.direct(search, own, first, start);
        first += start;
        n -= start;
    }
    search->form(search, own, first, n);
}

/* Whole blocks of TASK_BYTES, and so few that several threads end at about the same time. */
static int64_t task_size(const jr_hamming *search, int64_t n)
{
    int64_t codes = TASK_BYTES / search->bytes, share = n / (search->threads * TASKS_OF_A_THREAD);
    if (search->threads > 1 && share < codes)
        codes = share;
    return codes > search->block ? codes / search->block * search->block : search->block;
}

int jr_hamming_search(jr_hamming *search, const uint8_t *codes, int64_t n, jr_watch watch, void *watcher)
{
    search->codes = codes;
    search->n = n;
    search->fetches = n > JR_CACHED_BYTES / search->bytes;
    search->task_codes = task_size(search, n);
    int64_t tasks = (n + search->task_codes - 1) / search->task_codes;
    return jr_parallel_for(search->threads, tasks, search_task, search, watch, watcher);
}

int jr_hamming_finish(jr_hamming *search, int64_t *ids, float *distances)
{
    int64_t k = search->k;
    uint64_t *all = jr_allocate(search->threads, k, 1, sizeof *all);
    if (!all)
        return JR_NO_MEMORY;
    for (int64_t q = 0; q < search->count; q++) {
        int64_t total = 0;
        for (int w = 0; w < search->threads; w++) {
            int64_t size = search->workers[w].sizes[q];
            memcpy(all + total, search->workers[w].heaps + q * k, (size_t)size * sizeof *all);
            total += size;
        }
        qsort(all, (size_t)total, sizeof *all, jr_key_order);
        for (int64_t i = 0; i < k; i++) {
            ids[q * k + i] = i < total ? (int64_t)(all[i] & JR_ID_MASK) : -1;
            distances[q * k + i] = i < total ? (float)(all[i] >> JR_ID_BITS) : INFINITY;
        }
    }
    free(all);
    return JR_OK;
}

int64_t jr_hamming_found(const jr_hamming *search)
{
    int64_t total = 0;
    for (int w = 0; w < search->threads; w++) {
        if (search->workers[w].failed)
            return -1;
        total += search->workers[w].found_size;
    }
    return total;
}

int jr_hamming_collect(jr_hamming *search, int64_t *offsets, int64_t *ids, float *distances)
{
    int64_t total = jr_hamming_found(search), count = search->count;
    uint64_t *keys = jr_allocate(total, 1, 1, sizeof *keys);
    int64_t *next = jr_allocate(count, 1, 1, sizeof *next);
    if (!keys || !next) {
        free(keys);
        free(next);
        return JR_NO_MEMORY;
    }
    memset(offsets, 0, (size_t)(count + 1) * sizeof *offsets);
    for (int w = 0; w < search->threads; w++)
        for (int64_t i = 0; i < search->workers[w].found_size; i++)
            offsets[search->workers[w].found[2 * i] + 1]++;
    for (int64_t q = 0; q < count; q++) {
        offsets[q + 1] += offsets[q];
        next[q] = offsets[q];
    }
    for (int w = 0; w < search->threads; w++)
        for (int64_t i = 0; i < search->workers[w].found_size; i++)
            keys[next[search->workers[w].found[2 * i]]++] = search->workers[w].found[2 * i + 1];
    for (int64_t q = 0; q < count; q++)
        qsort(keys + offsets[q], (size_t)(offsets[q + 1] - offsets[q]), sizeof *keys, jr_key_order);
    for (int64_t i = 0; i < total; i++) {
        ids[i] = (int64_t)(keys[i] & JR_ID_MASK);
        distances[i] = (float)(keys[i] >> JR_ID_BITS);
    }
    free(keys);
    free(next);
    return JR_OK;
}
