/* Tables of the multi-index, and its search over many queries. */
#include "multi_index.h"

#include "cpu_features.h"
#include "memory.h"
#include "multi_index_state.h"

#define TARGET
#define NAME(x) x##_portable
#include "multi_index_kernel.h"
#undef TARGET
#undef NAME

#ifdef JR_X86
#define TARGET __attribute__((target("popcnt")))
#define NAME(x) x##_popcnt
#include "multi_index_kernel.h"
#undef TARGET
#undef NAME
#else
#define search_query_popcnt search_query_portable
#endif

typedef struct {
    const jr_multi_index *index;
    uint32_t *offsets, *ids;
} build_job;

/* Counting sort of the codes by one substring; ids within a bucket ascend. */
static void build_table(void *context, int64_t table, int worker)
{
    (void)worker;
    const build_job *job = context;
    const jr_multi_index *index = job->index;
    int64_t first = index->firsts[table], last = index->firsts[table + 1], values = 1ll << (last - first);
    uint32_t *offsets = job->offsets + index->starts[table], *ids = job->ids + table * index->n;
    memset(offsets, 0, (size_t)(values + 1) * sizeof *offsets);
    for (int64_t i = 0; i < index->n; i++)
        offsets[jr_substring(index->codes + i * index->bytes, index->bytes, first, last) + 1]++;
    for (int64_t v = 0; v < values; v++)
        offsets[v + 1] += offsets[v];
    /* offsets[v] moves to the end of bucket v while it fills, which is where bucket v + 1 begins */
    for (int64_t i = 0; i < index->n; i++)
        ids[offsets[jr_substring(index->codes + i * index->bytes, index->bytes, first, last)]++] = (uint32_t)i;
    memmove(offsets + 1, offsets, (size_t)values * sizeof *offsets);
    offsets[0] = 0;
}

int jr_multi_index_build(const jr_multi_index *index, uint32_t *offsets, uint32_t *ids, int threads,
                         jr_watch watch, void *watcher)
{
    build_job job = {index, offsets, ids};
    return jr_parallel_for(threads, index->tables, build_table, &job, watch, watcher);
}

void jr_index_search_free(jr_index_search *search)
{
    if (!search)
        return;
    for (int64_t q = 0; search->found && q < search->count; q++)
        free(search->found[q].keys);
    free(search->found);
    free(search);
}

jr_index_search *jr_index_search_new(const jr_multi_index *index, const uint8_t *queries, int64_t count, int64_t k,
                                     int64_t radius, int64_t budget, int threads, int popcount)
{
    jr_index_search *search = jr_allocate(1, 1, 1, sizeof *search);
    if (!search)
        return NULL;
    search->index = *index;
    search->queries = queries;
    search->count = count;
    search->k = k;
    search->radius = radius;
    search->budget = budget;
    search->threads = threads;
    search->popcount = popcount;
    search->found = jr_allocate(count, 1, 1, sizeof *search->found);
    if (!search->found) {
        free(search);
        return NULL;
    }
    return search;
}

int jr_index_keep(jr_index_search *search, jr_index_found *found, uint64_t key)
{
    if (found->size == found->capacity && !(search->k && found->capacity >= search->k)) {
        int64_t capacity = found->capacity ? 2 * found->capacity : 16;
        if (search->k && capacity > search->k)
            capacity = search->k;
        uint64_t *grown = realloc(found->keys, (size_t)capacity * sizeof *grown);
        if (!grown) {
            atomic_store(&search->failure, JR_NO_MEMORY);
            return 0;
        }
        found->keys = grown;
        found->capacity = capacity;
    }
    if (search->k)
        jr_key_heap_offer(found->keys, &found->size, search->k, key);
    else
        found->keys[found->size++] = key;
    return 1;
}

static void search_one(void *context, int64_t query, int worker)
{
    (void)worker;
    jr_index_search *search = context;
    if (atomic_load_explicit(&search->failure, memory_order_relaxed))
        return;
    if (search->popcount)
        search_query_popcnt(search, query);
    else
        search_query_portable(search, query);
    jr_index_found *found = &search->found[query];
    if (search->touched[query] < 0)
        found->size = 0;
    if (found->size)
        qsort(found->keys, (size_t)found->size, sizeof *found->keys, jr_key_order);
}

int jr_index_search_run(jr_index_search *search, int64_t *touched, jr_watch watch, void *watcher)
{
    search->touched = touched;
    int status = jr_parallel_for(search->threads, search->count, search_one, search, watch, watcher);
    int failure = atomic_load(&search->failure);
    return failure ? failure : status;
}

int64_t jr_index_search_result(jr_index_search *search, int64_t query, const uint64_t **keys)
{
    *keys = search->found[query].keys;
    return search->found[query].size;
}
