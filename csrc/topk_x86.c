/* The top-k search for AVX2 and AVX-512. */
#include "cpu_features.h"

#ifdef JR_X86

#include <float.h>
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

JR_TARGET_AVX2 static inline double jr_lane_tree(__m256d v)
{
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

JR_TARGET_AVX512 static inline __m256d jr_fold_doubles(__m512d v)
{
    return _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
}

JR_TARGET_AVX2 static inline int jr_four_far(__m128 scores, __m128 limit, __m128 scales)
{
    const __m128 most = _mm_set1_ps(FLT_MAX);
    __m128 far = _mm_and_ps(_mm_cmpgt_ps(scores, limit), _mm_cmple_ps(scores, most));
    return _mm_movemask_ps(_mm_and_ps(far, _mm_cmple_ps(scales, most))) == 15;
}

#define FOUR_ROOTS(v) (jr_four) _mm_sqrt_ps((__m128)(v))
#define FOUR_FAR(scores, limit, scales) jr_four_far((__m128)(scores), _mm_set1_ps(limit), (__m128)(scales))
#define TARGET JR_TARGET_AVX2
#define FOUR_SUMS(a, b, c, d) (jr_four) jr_four_sums(a, b, c, d)
#define LANE_TREE(v) jr_lane_tree(v)
#define NAME(x) x##_avx2
#define TO_DOUBLES(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define FLOAT_LANES 8
#define PANEL_ROWS 6 /* 12 of 16 registers */
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MULTIPLY_ADD_DOUBLES(a, b, c) _mm256_fmadd_pd(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGT_UQ))
#include "topk_kernel.h"
#undef TARGET
#undef NAME
#undef TO_DOUBLES
#undef FLOAT_LANES
#undef PANEL_ROWS
#undef MULTIPLY_ADD
#undef MULTIPLY_ADD_DOUBLES
#undef NOT_GREATER
#undef FOUR_SUMS
#undef LANE_TREE

#define TARGET JR_TARGET_AVX512
#define FOUR_SUMS(a, b, c, d) (jr_four) jr_four_sums(jr_fold(a), jr_fold(b), jr_fold(c), jr_fold(d))
#define LANE_TREE(v) jr_lane_tree(jr_fold_doubles(v))
#define NAME(x) x##_avx512
#define TO_DOUBLES(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define FLOAT_LANES 16
#define PANEL_ROWS 12 /* 24 of 32 registers */
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MULTIPLY_ADD_DOUBLES(a, b, c) _mm512_fmadd_pd(a, b, c)
#define NOT_GREATER(a, b) (uint32_t) _mm512_cmp_ps_mask(a, b, _CMP_NGT_UQ)
#include "topk_kernel.h"

#else
typedef int jr_topk_x86_is_empty; /* ISO C wants a declaration */
#endif
