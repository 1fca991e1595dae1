/* The Hamming search in two-word vectors of the compiler: the portable level, and NEON with its byte popcount. */
#include "cpu_features.h"

#include <stdint.h>

typedef uint64_t jr_two __attribute__((vector_size(16)));

#define TARGET
#define WORDS 2
#define FEW 4
#define SOME 4
#define NIBBLES 0
#define SLICED 1
#define XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define MAJORITY(a, b, c) (((a) & (b)) | (((a) ^ (b)) & (c))) /* a ^ b is at hand from XOR3 */
#define SELECT(m, a, b) (((a) & (b)) | (~(m) & ((a) | (b))))
#define ANY(v) jr_any(v)
#define PAIR_LOW(a, b) ((VECTOR){(a)[0], (b)[0]})
#define PAIR_HIGH(a, b) ((VECTOR){(a)[1], (b)[1]})
#define PART_VECTORS 31

static inline int jr_any(jr_two v)
{
    return (v[0] | v[1]) != 0;
}

#ifdef JR_ARM64
#include <arm_neon.h>
#define NAME(x) x##_neon
#define COUNT_PARTS(v) (VECTOR) vcntq_u8((uint8x16_t)(v))
#define COUNT_HALVES(v) (VECTOR) vpaddlq_u16(vpaddlq_u8(vcntq_u8((uint8x16_t)(v))))
#define SUM_PARTS(v) (VECTOR) vpaddlq_u32(vpaddlq_u16(vpaddlq_u8((uint8x16_t)(v))))
#else
#define NAME(x) x##_portable
#define COUNT_PARTS(v) jr_count_bytes(v)
#define COUNT_HALVES(v) jr_count_halves(v)
#define SUM_PARTS(v) jr_sum_bytes(v)

static inline jr_two jr_count_bytes(jr_two v)
{
    v -= v >> 1 & 0x5555555555555555ull;
    v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
    return (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Full;
}

static inline jr_two jr_count_halves(jr_two v)
{
    v = jr_count_bytes(v);
    v += v >> 8;
    return (v + (v >> 16)) & 0x0000003F0000003Full;
}

#ifdef __SSE2__
#include <emmintrin.h>

static inline jr_two jr_sum_bytes(jr_two v)
{
    return (jr_two)_mm_sad_epu8((__m128i)v, _mm_setzero_si128());
}
#else
static inline jr_two jr_sum_bytes(jr_two v)
{
    v = (v & 0x00FF00FF00FF00FFull) + (v >> 8 & 0x00FF00FF00FF00FFull);
    v += v >> 16;
    return (v + (v >> 32)) & 0xFFFF;
}
#endif
#endif

#include "hamming_kernel.h"
