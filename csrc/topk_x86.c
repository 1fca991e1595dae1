/* The top-k search for AVX2 and AVX-512. */
#include "cpu_features.h"

#ifdef JR_X86

#include <immintrin.h>

#include "topk_state.h"

JR_TARGET_AVX2 static inline jr_four jr_half(__m256 v)
{
    return (jr_four)_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

JR_TARGET_AVX512 static inline __m256 jr_fold(__m512 v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

JR_TARGET_AVX2 static inline double jr_lane_tree(__m256d v)
{
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

JR_TARGET_AVX512 static inline __m256d jr_fold_doubles(__m512d v)
{
    return _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
}

#define TARGET JR_TARGET_AVX2
#define FOUR_SUMS(a, b, c, d) jr_four_sums(jr_half(a), jr_half(b), jr_half(c), jr_half(d))
#define LANE_TREE(v) jr_lane_tree(v)
#define NAME(x) x##_avx2
#define TO_DOUBLES(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define FLOAT_LANES 8
#define ROOTS(v) (VECTOR) _mm256_sqrt_ps((__m256)(v))
#define PANEL_ROWS 6 /* 12 of 16 registers */
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MULTIPLY_ADD_DOUBLES(a, b, c) _mm256_fmadd_pd(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ))
#include "topk_kernel.h"
#undef TARGET
#undef NAME
#undef TO_DOUBLES
#undef FLOAT_LANES
#undef ROOTS
#undef PANEL_ROWS
#undef MULTIPLY_ADD
#undef MULTIPLY_ADD_DOUBLES
#undef NOT_GREATER
#undef FOUR_SUMS
#undef LANE_TREE

#define TARGET JR_TARGET_AVX512
#define FOUR_SUMS(a, b, c, d) \
    jr_four_sums(jr_half(jr_fold(a)), jr_half(jr_fold(b)), jr_half(jr_fold(c)), jr_half(jr_fold(d)))
#define LANE_TREE(v) jr_lane_tree(jr_fold_doubles(v))
#define NAME(x) x##_avx512
#define TO_DOUBLES(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define FLOAT_LANES 16
#define ROOTS(v) (VECTOR) _mm512_sqrt_ps((__m512)(v))
#define PANEL_ROWS 12 /* 24 of 32 registers */
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MULTIPLY_ADD_DOUBLES(a, b, c) _mm512_fmadd_pd(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ)
#include "topk_kernel.h"

#else
typedef int jr_topk_x86_is_empty; /* ISO C wants a declaration */
#endif
