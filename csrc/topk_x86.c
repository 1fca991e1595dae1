/* The top-k search for AVX2 and AVX-512. */
#include "cpu_features.h"

#ifdef JR_X86

#include <immintrin.h>

#define TARGET JR_TARGET_AVX2
#define NAME(x) x##_avx2
#define FLOAT_LANES 8
#define PANEL_ROWS 6 /* 12 of 16 registers */
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ))
#include "topk_kernel.h"
#undef TARGET
#undef NAME
#undef FLOAT_LANES
#undef PANEL_ROWS
#undef MULTIPLY_ADD
#undef NOT_GREATER

#define TARGET JR_TARGET_AVX512
#define NAME(x) x##_avx512
#define FLOAT_LANES 16
#define PANEL_ROWS 12 /* 24 of 32 registers */
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ)
#include "topk_kernel.h"

#else
typedef int jr_topk_x86_is_empty; /* ISO C wants a declaration */
#endif
