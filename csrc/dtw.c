/* Dynamic time warping: memory, the summary of sequences, and all distances between two sets of them. */
#include "dtw_levels.h"

#define BLOCK 256 /* gallery sequences of one task, at most */
#define CACHE_BYTES (1 << 19)

const jr_dtw_level *jr_dtw_level_of(int level)
{
    switch (level) {
#ifdef JR_X86
    case JR_AVX2:
        return &jr_dtw_avx2;
    case JR_AVX512:
    case JR_AVX512_VPOPCNT:
        return &jr_dtw_avx512;
#endif
#ifdef JR_ARM64
    default:
        return &jr_dtw_neon;
#else
    default:
        return &jr_dtw_portable;
#endif
    }
}

void *jr_dtw_allocate(size_t bytes)
{
    size_t rounded = (bytes + 63) / 64 * 64;
    void *memory = rounded < bytes ? NULL : aligned_alloc(64, rounded ? rounded : 64);
    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

int64_t jr_dtw_longest(const jr_dtw_sequences *sequences)
{
    int64_t longest = 0;
    for (int64_t s = 0; s < sequences->count; s++)
        if (jr_dtw_length(sequences, s) > longest)
            longest = jr_dtw_length(sequences, s);
    return longest;
}

int64_t jr_dtw_block(int64_t most, int64_t frames, const jr_dtw_sequences *gallery)
{
    double products = (double)frames * (double)jr_dtw_longest(gallery) * (double)gallery->dimensions;
    double block = 2e9 / products / JR_DTW_MAX_LANES; /* some 50 ms */
    return block < 1 ? JR_DTW_MAX_LANES : block * JR_DTW_MAX_LANES < most ? (int64_t)block * JR_DTW_MAX_LANES : most;
}

int64_t jr_dtw_vectors(const jr_dtw_level *level, int64_t frames)
{
    return (frames + level->lanes - 1) / level->lanes;
}

int jr_dtw_scratch_new(jr_dtw_scratch *scratch, const jr_dtw_level *level, int64_t vectors)
{
    size_t lanes = (size_t)level->lanes, width = (size_t)vectors * lanes, slack = 6 * JR_DTW_TOGETHER;
    size_t rows = JR_DTW_SEGMENT * lanes + JR_DTW_MAX_ROWS;
    size_t costs = rows * width, turned = (4 * (width + 6) + 6) * lanes, state = (width + slack) * lanes;
    costs = (costs + 15) / 16 * 16;
    turned = (turned + 15) / 16 * 16;
    state = (state + 15) / 16 * 16;
    scratch->memory = jr_dtw_allocate((costs + turned + 2 * state + rows) * sizeof(float) + rows * sizeof(float *));
    if (!scratch->memory)
        return JR_NO_MEMORY;
    scratch->costs = scratch->memory; /* the first four stay aligned to vectors */
    scratch->turned = scratch->costs + costs;
    scratch->forward = scratch->turned + turned;
    scratch->backward = scratch->forward + state;
    scratch->rows = (const float **)(scratch->backward + state);
    scratch->row_squares = (float *)(scratch->rows + rows);
    return JR_OK;
}

void jr_dtw_scratch_free(jr_dtw_scratch *scratch) { free(scratch->memory); }

int jr_dtw_panel_new(jr_dtw_panel *panel, const jr_dtw_level *level, int64_t vectors, int64_t dimensions)
{
    size_t width = (size_t)vectors * (size_t)level->lanes;
    memset(panel, 0, sizeof *panel);
    panel->dimensions = dimensions;
    if (width > SIZE_MAX / sizeof(float) / (size_t)dimensions)
        return JR_NO_MEMORY;
    panel->packed = jr_dtw_allocate(width * (size_t)dimensions * sizeof(float));
    panel->squares = jr_dtw_allocate(width * sizeof(float));
    return panel->packed && panel->squares ? JR_OK : JR_NO_MEMORY;
}

void jr_dtw_panel_clear(jr_dtw_panel *panel) { panel->queries = panel->vectors = panel->width = 0; }

void jr_dtw_panel_add(jr_dtw_panel *panel, const jr_dtw_level *level, const float *frames, const float *squares,
                      int64_t count)
{
    int64_t vectors = jr_dtw_vectors(level, count), query = panel->queries++;
    level->pack(frames, count, panel->dimensions, panel->packed + panel->width * panel->dimensions);
    for (int64_t i = 0; i < vectors * level->lanes; i++)
        panel->squares[panel->width + i] = i < count ? squares[i] : 1.0f;
    panel->frames[query] = count;
    panel->first[query] = panel->vectors;
    panel->vectors += vectors;
    panel->width = panel->vectors * level->lanes;
    panel->first[query + 1] = panel->vectors;
}

void jr_dtw_panel_free(jr_dtw_panel *panel)
{
    free(panel->packed);
    free(panel->squares);
}

/* ---- all distances ---- */

typedef struct {
    const jr_dtw_level *level;
    const jr_dtw_sequences *queries, *gallery;
    const int64_t *order;
    int64_t window, block, together, batches; /* batches of `together` queries, blocks of `block` gallery sequences */
    int reverse;
    float *distances;
    jr_dtw_panel *panels;      /* one a worker */
    int64_t *packed_batch;     /* which batch a worker's panel holds, or -1 */
    jr_dtw_scratch *scratches; /* one a worker */
} distances_job;

static void distances_task(void *context, int64_t task, int worker)
{
    distances_job *job = context;
    const jr_dtw_sequences *queries = job->queries, *gallery = job->gallery;
    int64_t batch = task % job->batches, first = batch * job->together, from = task / job->batches * job->block;
    int64_t to = from + job->block < gallery->count ? from + job->block : gallery->count;
    jr_dtw_panel *panel = &job->panels[worker];
    if (job->packed_batch[worker] != batch) {
        jr_dtw_panel_clear(panel);
        for (int64_t q = first; q < first + job->together && q < queries->count; q++)
            jr_dtw_panel_add(panel, job->level, queries->frames[q], queries->squares + queries->offsets[q],
                             jr_dtw_length(queries, q));
        job->packed_batch[worker] = batch;
    }
    jr_dtw_group group = {gallery, NULL, 0, job->window, job->reverse, INFINITY, NULL};
    for (int64_t g = from; g < to; g += job->level->lanes) {
        float found[JR_DTW_TOGETHER][JR_DTW_MAX_LANES];
        group.members = job->order + g;
        group.count = (int)(to - g < job->level->lanes ? to - g : job->level->lanes);
        job->level->group(panel, &group, &job->scratches[worker], found[0]);
        for (int64_t q = 0; q < panel->queries; q++)
            for (int i = 0; i < group.count; i++)
                job->distances[(first + q) * gallery->count + group.members[i]] = found[q][i];
    }
}

int jr_dtw_distances(int level, const jr_dtw_sequences *queries, const jr_dtw_sequences *gallery,
                     const int64_t *order, int64_t window, int reverse, int threads, float *distances,
                     jr_watch watch, void *watcher)
{
    distances_job job = {.level = jr_dtw_level_of(level),
                         .queries = queries,
                         .gallery = gallery,
                         .order = order,
                         .window = window,
                         .reverse = reverse,
                         .distances = distances};
    int64_t longest = jr_dtw_longest(queries), vectors = jr_dtw_vectors(job.level, longest);
    int status = JR_NO_MEMORY;
    /* All queries in turn over a block that stays in the cache; so what must be packed anew is the query. */
    int64_t cached = CACHE_BYTES / (int64_t)sizeof(float) / (jr_dtw_longest(gallery) * gallery->dimensions);
    cached = cached < JR_DTW_MAX_LANES ? JR_DTW_MAX_LANES : cached / JR_DTW_MAX_LANES * JR_DTW_MAX_LANES;
    job.block = jr_dtw_block(cached < BLOCK ? cached : BLOCK, longest, gallery);
    /* Long queries fill the tiles alone; a window leaves each query its own part of the costs to work out. */
    job.together = vectors > 32 || window < JR_DTW_NO_WINDOW ? 1 : JR_DTW_TOGETHER;
    job.together = job.together < queries->count ? job.together : queries->count;
    job.batches = (queries->count + job.together - 1) / job.together;
    job.panels = calloc((size_t)threads, sizeof *job.panels);
    job.scratches = calloc((size_t)threads, sizeof *job.scratches);
    job.packed_batch = malloc((size_t)threads * sizeof *job.packed_batch);
    if (!job.panels || !job.scratches || !job.packed_batch)
        goto done;
    for (int t = 0; t < threads; t++) {
        job.packed_batch[t] = -1;
        if (jr_dtw_panel_new(&job.panels[t], job.level, job.together * vectors, queries->dimensions) != JR_OK
            || jr_dtw_scratch_new(&job.scratches[t], job.level, job.together * vectors) != JR_OK)
            goto done;
    }
    status = jr_parallel_for(threads, (gallery->count + job.block - 1) / job.block * job.batches, distances_task, &job,
                             watch, watcher);
done:
    for (int t = 0; t < threads; t++) {
        if (job.panels)
            jr_dtw_panel_free(&job.panels[t]);
        if (job.scratches)
            jr_dtw_scratch_free(&job.scratches[t]);
    }
    free(job.panels);
    free(job.scratches);
    free(job.packed_batch);
    return status;
}
