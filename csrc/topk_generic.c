/* The top-k search in four-lane vectors of the compiler: the portable level, and NEON with fused multiply-add. */
#include "cpu_features.h"
#include "topk_state.h"

#define TARGET
#define FLOAT_LANES 4

#ifdef JR_ARM64
#define NAME(x) x##_neon
#define PANEL_ROWS 12 /* 24 of 32 registers */
#define MULTIPLY_ADD(a, b, c) (vector_neon) vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#define MULTIPLY_ADD_DOUBLES(a, b, c) (jr_two_doubles) vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b))
#else
#define NAME(x) x##_portable
#define PANEL_ROWS 6 /* 12 of 16 registers */
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define MULTIPLY_ADD_DOUBLES(a, b, c) ((a) * (b) + (c))
#endif

typedef float jr_two __attribute__((vector_size(8), aligned(4), may_alias));
typedef double jr_two_doubles __attribute__((vector_size(16)));

#define TO_DOUBLES(p) __builtin_convertvector(*(const jr_two *)(p), jr_two_doubles)
#define LANE_TREE(v) ((v)[0] + (v)[1])
#define NOT_GREATER(a, b) jr_four_not_greater(a, b)

#define FOUR_SUMS(a, b, c, d) jr_four_sums(a, b, c, d)
#define ROOTS(v) jr_four_roots(v)

#include "topk_kernel.h"
