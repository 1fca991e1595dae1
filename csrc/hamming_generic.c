/* The Hamming search in two-word vectors of the compiler: the portable level, and NEON with its byte popcount. */
#include "cpu_features.h"

#include <stdint.h>

typedef uint64_t jr_two __attribute__((vector_size(16)));

#define TARGET
#define WORDS 2
#define FEW 4
#define XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define MAJORITY(a, b, c) (((a) & (b)) | (((a) | (b)) & (c)))
#define SELECT(m, a, b) (((a) & (b)) | (~(m) & ((a) | (b))))
#define ALL_ONES(v) jr_all_ones(v)
#define SWAP_1(v) ((VECTOR){(v)[1], (v)[0]})

static inline int jr_all_ones(jr_two v)
{
    return (v[0] & v[1]) == ~0ull;
}

#ifdef JR_ARM64
#include <arm_neon.h>
#define NAME(x) x##_neon
#define COUNT(v) (VECTOR) vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8((uint8x16_t)(v)))))
#else
#define NAME(x) x##_portable
#define COUNT(v) jr_count(v)

static inline jr_two jr_count(jr_two v)
{
    v -= v >> 1 & 0x5555555555555555ull;
    v = (v & 0x3333333333333333ull) + (v >> 2 & 0x3333333333333333ull);
    v = (v + (v >> 4)) & 0x0F0F0F0F0F0F0F0Full;
    v += v >> 8;
    v += v >> 16;
    v += v >> 32;
    return v & 0x7F;
}
#endif

#include "hamming_kernel.h"
