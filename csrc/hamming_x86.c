/* The Hamming search for AVX2, AVX-512 and AVX-512 with VPOPCNTDQ. */
#include "cpu_features.h"

#ifdef JR_X86

#include <immintrin.h>

/* popcount of four words by table look-up of half-bytes */
JR_TARGET_AVX2 static inline __m256i jr_count_avx2(__m256i v)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
    __m256i b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
    return _mm256_sad_epu8(_mm256_add_epi8(a, b), _mm256_setzero_si256());
}

JR_TARGET_AVX512 static inline __m512i jr_count_avx512(__m512i v)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_set1_epi8(15);
    __m512i a = _mm512_shuffle_epi8(table, _mm512_and_si512(v, low));
    __m512i b = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
    return _mm512_sad_epu8(_mm512_add_epi8(a, b), _mm512_setzero_si512());
}

#define TARGET JR_TARGET_AVX2
#define NAME(x) x##_avx2
#define WORDS 4
#define FEW 4
#define XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define MAJORITY(a, b, c) (((a) & (b)) | (((a) | (b)) & (c)))
#define SELECT(m, a, b) (((a) & (b)) | (~(m) & ((a) | (b))))
#define ALL_ONES(v) _mm256_testc_si256((__m256i)(v), _mm256_set1_epi8(-1))
#define COUNT(v) (VECTOR) jr_count_avx2((__m256i)(v))
#define SWAP_1(v) (VECTOR) _mm256_shuffle_epi32((__m256i)(v), 0x4E)
#define SWAP_2(v) (VECTOR) _mm256_permute4x64_epi64((__m256i)(v), 0x4E)
#include "hamming_kernel.h"
#undef TARGET
#undef NAME
#undef WORDS
#undef FEW
#undef XOR3
#undef MAJORITY
#undef SELECT
#undef ALL_ONES
#undef COUNT
#undef SWAP_1
#undef SWAP_2

#define WORDS 8
#define XOR3(a, b, c) (VECTOR) _mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), 0x96)
#define MAJORITY(a, b, c) (VECTOR) _mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), 0xE8)
#define SELECT(m, a, b) (VECTOR) _mm512_ternarylogic_epi64((__m512i)(m), (__m512i)(a), (__m512i)(b), 0x8E)
#define ALL_ONES(v) (_mm512_cmpneq_epi64_mask((__m512i)(v), _mm512_set1_epi64(-1)) == 0)
#define SWAP_1(v) (VECTOR) _mm512_shuffle_epi32((__m512i)(v), 0x4E)
#define SWAP_2(v) (VECTOR) _mm512_permutex_epi64((__m512i)(v), 0x4E)
#define SWAP_4(v) (VECTOR) _mm512_shuffle_i64x2((__m512i)(v), (__m512i)(v), 0x4E)

#define TARGET JR_TARGET_AVX512
#define NAME(x) x##_avx512
#define FEW 8
#define COUNT(v) (VECTOR) jr_count_avx512((__m512i)(v))
#include "hamming_kernel.h"
#undef TARGET
#undef NAME
#undef FEW
#undef COUNT

#define TARGET JR_TARGET_AVX512_VPOPCNT
#define NAME(x) x##_avx512_vpopcnt
#define FEW 12
#define COUNT(v) (VECTOR) _mm512_popcnt_epi64((__m512i)(v))
#include "hamming_kernel.h"

#else
typedef int jr_hamming_x86_is_empty; /* ISO C wants a declaration */
#endif
