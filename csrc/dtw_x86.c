/* The DTW kernels for AVX2 and AVX-512. */
#include "dtw_levels.h"

#ifdef JR_X86

#include <immintrin.h>

typedef int32_t jr_ints_avx2 __attribute__((vector_size(32)));
typedef int32_t jr_ints_avx512 __attribute__((vector_size(64)));

JR_TARGET_AVX2 static inline void transpose_avx2(const float *const *rows, int64_t at, __m256 *out)
{
    __m256 a[8], b[8];
    /* Halves of rows i and i + 4 side by side; then the 4 x 4 blocks are turned. */
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256 low = _mm256_loadu_ps(rows[i] + at), high = _mm256_loadu_ps(rows[i + 4] + at);
        a[i] = _mm256_permute2f128_ps(low, high, 0x20);
        a[i + 4] = _mm256_permute2f128_ps(low, high, 0x31);
    }
#pragma GCC unroll 2
    for (int h = 0; h < 8; h += 4) {
        b[h] = _mm256_unpacklo_ps(a[h], a[h + 1]);
        b[h + 1] = _mm256_unpackhi_ps(a[h], a[h + 1]);
        b[h + 2] = _mm256_unpacklo_ps(a[h + 2], a[h + 3]);
        b[h + 3] = _mm256_unpackhi_ps(a[h + 2], a[h + 3]);
        out[h] = _mm256_shuffle_ps(b[h], b[h + 2], 0x44);
        out[h + 1] = _mm256_shuffle_ps(b[h], b[h + 2], 0xee);
        out[h + 2] = _mm256_shuffle_ps(b[h + 1], b[h + 3], 0x44);
        out[h + 3] = _mm256_shuffle_ps(b[h + 1], b[h + 3], 0xee);
    }
}

JR_TARGET_AVX512 static inline void transpose_avx512(const float *const *rows, int64_t at, __m512 *out)
{
    __m512 a[16], b[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        __m512 low = _mm512_loadu_ps(rows[i] + at), high = _mm512_loadu_ps(rows[i + 1] + at);
        a[i] = _mm512_unpacklo_ps(low, high);
        a[i + 1] = _mm512_unpackhi_ps(low, high);
    }
    /* b[4 g + c]: in each quarter, column c of rows 4 g .. 4 g + 3 */
#pragma GCC unroll 4
    for (int g = 0; g < 16; g += 4) {
        b[g] = _mm512_shuffle_ps(a[g], a[g + 2], 0x44);
        b[g + 1] = _mm512_shuffle_ps(a[g], a[g + 2], 0xee);
        b[g + 2] = _mm512_shuffle_ps(a[g + 1], a[g + 3], 0x44);
        b[g + 3] = _mm512_shuffle_ps(a[g + 1], a[g + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        __m512 top_even = _mm512_shuffle_f32x4(b[c], b[c + 4], 0x88), top_odd = _mm512_shuffle_f32x4(b[c], b[c + 4], 0xdd);
        __m512 low_even = _mm512_shuffle_f32x4(b[c + 8], b[c + 12], 0x88);
        __m512 low_odd = _mm512_shuffle_f32x4(b[c + 8], b[c + 12], 0xdd);
        out[c] = _mm512_shuffle_f32x4(top_even, low_even, 0x88);
        out[c + 4] = _mm512_shuffle_f32x4(top_odd, low_odd, 0x88);
        out[c + 8] = _mm512_shuffle_f32x4(top_even, low_even, 0xdd);
        out[c + 12] = _mm512_shuffle_f32x4(top_odd, low_odd, 0xdd);
    }
}

#define TARGET JR_TARGET_AVX2
#define NAME(x) x##_avx2
#define LANES 8
#define ROWS 4 /* 12 of 16 registers */
#define VECTOR __m256
#define INTS jr_ints_avx2
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, a) _mm256_storeu_ps(p, a)
#define SPLAT(x) _mm256_set1_ps(x)
#define MINIMUM(a, b) _mm256_min_ps(a, b)
#define ANY_BELOW(a, b) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NGE_UQ))
#include "dtw_kernel.h"
#undef TARGET
#undef NAME
#undef LANES
#undef ROWS
#undef VECTOR
#undef INTS
#undef LOAD
#undef STORE
#undef SPLAT
#undef MINIMUM
#undef ANY_BELOW

#define TARGET JR_TARGET_AVX512
#define NAME(x) x##_avx512
#define LANES 16
#define ROWS 8 /* 24 of 32 registers */
#define VECTOR __m512
#define INTS jr_ints_avx512
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, a) _mm512_storeu_ps(p, a)
#define SPLAT(x) _mm512_set1_ps(x)
#define MINIMUM(a, b) _mm512_min_ps(a, b)
#define ANY_BELOW(a, b) (int)_mm512_cmp_ps_mask(a, b, _CMP_NGE_UQ)
#include "dtw_kernel.h"

#else
typedef int jr_dtw_x86_is_empty; /* ISO C wants a declaration */
#endif
