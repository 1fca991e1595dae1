#include "topk_cells.h"

#include "topk_state.h"

typedef struct {
    const jr_cells *cells;
    const float *queries;
    const int64_t *probed;
    int64_t probes, k;
    int level;
    int64_t *ids;
    float *distances;
    atomic_llong bad_row;
    atomic_int no_memory;
} cell_search;

/* Searches the cells of one query, nearest first, so that the far ones meet a limit. */
static int search_cells(cell_search *all, int64_t query, jr_topk *search)
{
    const jr_cells *cells = all->cells;
    search->ids = cells->ids;
    for (int64_t p = 0; p < all->probes; p++) {
        int64_t cell = all->probed[query * all->probes + p];
        if (cell < 0)
            continue;
        int64_t first = cells->offsets[cell], n = cells->offsets[cell + 1] - first, bad_row = -1;
        if (n == 0)
            continue;
        int status = jr_topk_add(search, cells->vectors + first * cells->dimensions, n, first, NULL, NULL, &bad_row);
        if (bad_row >= 0)
            atomic_store(&all->bad_row, bad_row);
        if (status != JR_OK)
            return status;
    }
    return JR_OK;
}

static void search_query(void *context, int64_t query, int worker)
{
    (void)worker;
    cell_search *all = context;
    if (atomic_load(&all->no_memory) || atomic_load(&all->bad_row) >= 0)
        return;
    int64_t rows = 0;
    for (int64_t p = 0; p < all->probes; p++) {
        int64_t cell = all->probed[query * all->probes + p];
        if (cell < 0)
            continue;
        rows += all->cells->offsets[cell + 1] - all->cells->offsets[cell];
    }
    int64_t found = rows < all->k ? rows : all->k;
    int64_t *ids = all->ids + query * all->k;
    float *distances = all->distances + query * all->k;
    if (found > 0) {
        int64_t d = all->cells->dimensions;
        jr_topk *search = jr_topk_new(all->queries + query * d, 1, d, found, JR_EUCLIDEAN, 1, all->level);
        int status = search ? search_cells(all, query, search) : JR_NO_MEMORY;
        if (status == JR_OK)
            status = jr_topk_finish(search, ids, distances, NULL);
        if (status == JR_NO_MEMORY)
            atomic_store(&all->no_memory, 1);
        jr_topk_free(search);
    }
    for (int64_t i = found; i < all->k; i++) {
        ids[i] = -1;
        distances[i] = INFINITY;
    }
}

int jr_topk_cells(const jr_cells *cells, const float *queries, int64_t count, const int64_t *probed, int64_t probes,
                  int64_t k, int threads, int level, jr_watch watch, void *watcher, int64_t *ids, float *distances,
                  int64_t *bad_row)
{
    cell_search all = {.cells = cells, .queries = queries, .probed = probed, .probes = probes, .k = k, .level = level,
                       .ids = ids, .distances = distances};
    atomic_init(&all.bad_row, -1);
    atomic_init(&all.no_memory, 0);
    int status = jr_parallel_for(threads, count, search_query, &all, watch, watcher);
    *bad_row = atomic_load(&all.bad_row);
    if (atomic_load(&all.no_memory))
        return JR_NO_MEMORY;
    return *bad_row >= 0 ? JR_STOPPED : status;
}
