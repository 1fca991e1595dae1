/* The Hamming search for SSE4.2, AVX2, AVX-512 and AVX-512 with VPOPCNTDQ. */
#include "cpu_features.h"

#ifdef JR_X86

#include <immintrin.h>

/* popcount of each byte by table look-up of half-bytes */
JR_TARGET_AVX2 static inline __m256i jr_count_avx2(__m256i v)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
    __m256i b = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
    return _mm256_add_epi8(a, b);
}

JR_TARGET_AVX512 static inline __m512i jr_count_avx512(__m512i v)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_set1_epi8(15);
    __m512i a = _mm512_shuffle_epi8(table, _mm512_and_si512(v, low));
    __m512i b = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
    return _mm512_add_epi8(a, b);
}

#define NIBBLES 1
#define INTEGERS __m128i
#define OP(x) _mm_##x
#define TABLE(at) _mm_loadu_si128((const __m128i *)(at))
#define ZEROS(v) (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128()))

#define TARGET JR_TARGET_SSE4
#define NAME(x) x##_sse4
#define WORDS 2
#define FEW 6
#define SOME JR_ANY_COUNT
#define SLICED 0
#include "hamming_kernel.h"
#undef TARGET
#undef NAME
#undef WORDS
#undef FEW
#undef INTEGERS
#undef OP
#undef TABLE
#undef ZEROS

#define INTEGERS __m256i
#define OP(x) _mm256_##x
#define TABLE(at) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(at)))
#define ZEROS(v) (uint32_t) _mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_setzero_si256()))

#define TARGET JR_TARGET_AVX2
#define NAME(x) x##_avx2
#define WORDS 4
#define FEW 3
#define COUNT_PARTS(v) (VECTOR) jr_count_avx2((__m256i)(v))
#define PART_VECTORS 31
#define SUM_PARTS(v) (VECTOR) _mm256_sad_epu8((__m256i)(v), _mm256_setzero_si256())
#define COUNT_HALVES(v) \
    (VECTOR) _mm256_madd_epi16(_mm256_maddubs_epi16(jr_count_avx2((__m256i)(v)), _mm256_set1_epi8(1)), \
                               _mm256_set1_epi16(1))
#define PAIR_LOW(a, b) (VECTOR) _mm256_unpacklo_epi64((__m256i)(a), (__m256i)(b))
#define PAIR_HIGH(a, b) (VECTOR) _mm256_unpackhi_epi64((__m256i)(a), (__m256i)(b))
#define HALF_LOW(a, b) (VECTOR) _mm256_permute2x128_si256((__m256i)(a), (__m256i)(b), 0x20)
#define HALF_HIGH(a, b) (VECTOR) _mm256_permute2x128_si256((__m256i)(a), (__m256i)(b), 0x31)
#define ANY(v) !_mm256_testz_si256((__m256i)(v), (__m256i)(v))
#include "hamming_kernel.h"
#undef TARGET
#undef NAME
#undef WORDS
#undef FEW
#undef SOME
#undef SLICED
#undef INTEGERS
#undef OP
#undef TABLE
#undef ZEROS
#undef COUNT_PARTS
#undef SUM_PARTS
#undef COUNT_HALVES
#undef PAIR_LOW
#undef PAIR_HIGH
#undef HALF_LOW
#undef HALF_HIGH
#undef ANY

#define INTEGERS __m512i
#define OP(x) _mm512_##x
#define TABLE(at) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(at)))
#define ZEROS(v) _mm512_testn_epi8_mask(v, v)
#define WORDS 8
#define SLICED 1
#define XOR3(a, b, c) (VECTOR) _mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), 0x96)
#define MAJORITY(a, b, c) (VECTOR) _mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), 0xE8)
#define SELECT(m, a, b) (VECTOR) _mm512_ternarylogic_epi64((__m512i)(m), (__m512i)(a), (__m512i)(b), 0x8E)
#define PAIR_LOW(a, b) (VECTOR) _mm512_unpacklo_epi64((__m512i)(a), (__m512i)(b))
#define PAIR_HIGH(a, b) (VECTOR) _mm512_unpackhi_epi64((__m512i)(a), (__m512i)(b))
#define HALF_LOW(a, b) (VECTOR) _mm512_shuffle_i64x2((__m512i)(a), (__m512i)(b), 0x88)
#define HALF_HIGH(a, b) (VECTOR) _mm512_shuffle_i64x2((__m512i)(a), (__m512i)(b), 0xDD)
#define ANY(v) (_mm512_test_epi64_mask((__m512i)(v), (__m512i)(v)) != 0)

#define TARGET JR_TARGET_AVX512
#define NAME(x) x##_avx512
#define FEW 6
#define SOME 32
#define COUNT_PARTS(v) (VECTOR) jr_count_avx512((__m512i)(v))
#define SUM_PARTS(v) (VECTOR) _mm512_sad_epu8((__m512i)(v), _mm512_setzero_si512())
#define COUNT_HALVES(v) \
    (VECTOR) _mm512_madd_epi16(_mm512_maddubs_epi16(jr_count_avx512((__m512i)(v)), _mm512_set1_epi8(1)), \
                               _mm512_set1_epi16(1))
#include "hamming_kernel.h"
#undef TARGET
#undef NAME
#undef FEW
#undef SOME
#undef NIBBLES
#undef COUNT_PARTS
#undef PART_VECTORS
#undef SUM_PARTS
#undef COUNT_HALVES

#define TARGET JR_TARGET_AVX512_VPOPCNT
#define NAME(x) x##_avx512_vpopcnt
#define FEW 32
#define SOME 32
#define NIBBLES 0
#define COUNT_PARTS(v) (VECTOR) _mm512_popcnt_epi64((__m512i)(v))
#define PART_VECTORS INT64_MAX
#define SUM_PARTS(v) (v)
#define COUNT_HALVES(v) (VECTOR) _mm512_popcnt_epi32((__m512i)(v))
#include "hamming_kernel.h"

#else
typedef int jr_hamming_x86_is_empty; /* ISO C wants a declaration */
#endif
