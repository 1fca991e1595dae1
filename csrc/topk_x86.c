/* The top-k search for AVX2 and AVX-512. */
#include "cpu_features.h"

#ifdef JR_X86

#include <immintrin.h>

/* the sums over the lanes of four vectors */
JR_TARGET_AVX2 static inline __m128 jr_four_sums(__m256 a, __m256 b, __m256 c, __m256 d)
{
    __m256 halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

JR_TARGET_AVX512 static inline __m256 jr_fold(__m512 v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

#define TARGET JR_TARGET_AVX2
#define FOUR_SUMS(a, b, c, d) (jr_four) jr_four_sums(a, b, c, d)
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
#undef FOUR_SUMS

#define TARGET JR_TARGET_AVX512
#define FOUR_SUMS(a, b, c, d) (jr_four) jr_four_sums(jr_fold(a), jr_fold(b), jr_fold(c), jr_fold(d))
#define NAME(x) x##_avx512
#define FLOAT_LANES 16
#define PANEL_ROWS 12 /* 24 of 32 registers */
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ)
#include "topk_kernel.h"

#else
typedef int jr_topk_x86_is_empty; /* ISO C wants a declaration */
#endif
