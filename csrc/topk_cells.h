/* Nearest vectors in chosen cells of an inverted file: each query looks into cells of its own. */
#ifndef JR_TOPK_CELLS_H
#define JR_TOPK_CELLS_H

#include <stdint.h>

#include "thread_pool.h"

/* Vectors cell by cell: cell c holds the rows offsets[c] .. offsets[c + 1] - 1. */
typedef struct {
    const float *vectors; /* (rows, dimensions) */
    const int64_t *ids;   /* (rows,), what results call them; different, in any order */
    const int64_t *offsets;
    int64_t dimensions;
} jr_cells;

/* The k nearest vectors by Euclidean distance of each of `count` finite queries among its `probes` cells
 * (count, probes), exactly, by (distance, id); missing ones as id -1, distance inf. A cell -1 is none.
 *
 * Queries are shared among the threads, and each compares the rows as they lie. `bad_row` becomes a row found to hold
 * a NaN or an infinity (then JR_STOPPED), else -1. */
int jr_topk_cells(const jr_cells *cells, const float *queries, int64_t count, const int64_t *probed, int64_t probes,
                  int64_t k, int threads, int level, jr_watch watch, void *watcher, int64_t *ids, float *distances,
                  int64_t *bad_row);

#endif
