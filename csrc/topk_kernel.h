/* The body of the top-k search, included once for each instruction set (topk_x86.c, topk_generic.c) with
 *   TARGET            the function attribute
 *   NAME(x)           the name of x at this level
 *   FLOAT_LANES       floats in a register; DOUBLE_LANES = FLOAT_LANES / 2
 *   PANEL_ROWS        gallery rows held in registers (times two vectors of queries)
 *   TO_DOUBLES(p)     DOUBLE_LANES floats at p as doubles
 *   MULTIPLY_ADD(a, b, c)   a * b + c on float vectors, fused or not
 *   MULTIPLY_ADD_DOUBLES(a, b, c)   the same on double vectors
 *   LANE_TREE(v)      the sum over the lanes of a double vector: the upper half to the lower, until one is left
 *   FOUR_SUMS(a, b, c, d)   the sums over the lanes of four vectors, a jr_four
 *   ROOTS(v)          the square roots of a float vector
 *   NOT_GREATER(a, b) bit mask of the lanes where !(a > b), so also where either is NaN
 */
#include "topk_state.h"

#define DOUBLE_LANES (FLOAT_LANES / 2)
#define VECTOR NAME(vector)
#define UNALIGNED NAME(unaligned)
#define INTEGERS NAME(integers)
#define DOUBLES NAME(doubles)

typedef float VECTOR __attribute__((vector_size(FLOAT_LANES * 4)));
typedef float UNALIGNED __attribute__((vector_size(FLOAT_LANES * 4), aligned(4), may_alias));
typedef int32_t INTEGERS __attribute__((vector_size(FLOAT_LANES * 4)));
typedef double DOUBLES __attribute__((vector_size(DOUBLE_LANES * 8)));

#define INLINE TARGET static inline __attribute__((always_inline))
#define ACCUMULATORS (16 / DOUBLE_LANES)
/* rows that are measured together, as many as leave registers for the query, and up to four, since they and the next
 * ones may share a set of the L1 cache: by distances or products, and by cosines, which take twice the sums */
#define NEAR_ROWS (2 * PANEL_ROWS / ACCUMULATORS < 4 ? 2 * PANEL_ROWS / ACCUMULATORS : 4)
#define NEAR_COSINES (NEAR_ROWS > 1 ? NEAR_ROWS / 2 : 1)

#include "topk_measure.h"
#include "topk_products.h"
#include "topk_settle.h"
#include "topk_rows.h"
#include "topk_panels.h"

/* One block of the gallery against all queries. */
TARGET static void NAME(block)(jr_topk *search, jr_topk_worker *worker, int64_t row, int64_t end)
{
    if (search->count > JR_FEW_QUERIES)
        NAME(compare_panels)(search, worker, row, end);
    else if (search->metric == JR_COSINE)
        NAME(compare_rows)(search, worker, row, end, 1);
    else
        NAME(compare_rows)(search, worker, row, end, 0);
}

const jr_topk_kernel NAME(jr_topk_kernel) = {PANEL_ROWS, FLOAT_LANES, NAME(block), NAME(settle)};

#undef DOUBLE_LANES
#undef VECTOR
#undef UNALIGNED
#undef INTEGERS
#undef DOUBLES
#undef INLINE
#undef ACCUMULATORS
#undef NEAR_ROWS
#undef NEAR_COSINES
