/* Four rows at a time: their scores in a vector of four floats, which every x86 and AArch64 processor has. */
#ifndef JR_TOPK_FOUR_H
#define JR_TOPK_FOUR_H

#include <math.h>
#include <stdint.h>

#include "cpu_features.h"

typedef float jr_four __attribute__((vector_size(16)));
typedef float jr_four_anywhere __attribute__((vector_size(16), aligned(4), may_alias));

#ifdef JR_X86
#include <emmintrin.h>

static inline jr_four jr_four_roots(jr_four v)
{
    return (jr_four)_mm_sqrt_ps((__m128)v);
}

/* The sums over the lanes of four vectors. */
static inline jr_four jr_four_sums(jr_four a, jr_four b, jr_four c, jr_four d)
{
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps((__m128)a, (__m128)b), _mm_unpackhi_ps((__m128)a, (__m128)b));
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps((__m128)c, (__m128)d), _mm_unpackhi_ps((__m128)c, (__m128)d));
    return (jr_four)_mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

/* A bit for each lane where !(a > b), so also where either is NaN. */
static inline unsigned jr_four_not_greater(jr_four a, jr_four b)
{
    return (unsigned)_mm_movemask_ps(_mm_cmpngt_ps((__m128)a, (__m128)b));
}
#else
#ifdef JR_ARM64
#include <arm_neon.h>

static inline jr_four jr_four_roots(jr_four v)
{
    return (jr_four)vsqrtq_f32((float32x4_t)v);
}

static inline jr_four jr_four_sums(jr_four a, jr_four b, jr_four c, jr_four d)
{
    return (jr_four)vpaddq_f32(vpaddq_f32((float32x4_t)a, (float32x4_t)b), vpaddq_f32((float32x4_t)c, (float32x4_t)d));
}
#else
static inline jr_four jr_four_roots(jr_four v)
{
    return (jr_four){sqrtf(v[0]), sqrtf(v[1]), sqrtf(v[2]), sqrtf(v[3])};
}

static inline jr_four jr_four_sums(jr_four a, jr_four b, jr_four c, jr_four d)
{
    const jr_four even = {a[0] + a[2], b[0] + b[2], c[0] + c[2], d[0] + d[2]};
    return even + (jr_four){a[1] + a[3], b[1] + b[3], c[1] + c[3], d[1] + d[3]};
}
#endif

static inline unsigned jr_four_not_greater(jr_four a, jr_four b)
{
    unsigned mask = 0;
    for (int lane = 0; lane < 4; lane++)
        mask |= (unsigned)!(a[lane] > b[lane]) << lane;
    return mask;
}
#endif

#endif
