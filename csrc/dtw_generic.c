/* The DTW kernels in four-lane vectors of the compiler: the portable level, and NEON. */
#include "dtw_levels.h"

typedef float jr_four __attribute__((vector_size(16)));
typedef int32_t jr_four_ints __attribute__((vector_size(16)));

#ifdef JR_ARM64
#define NAME(x) x##_neon
#define ROWS 8 /* 24 of 32 registers */
#else
#define NAME(x) x##_portable
#define ROWS 4
#endif

static inline jr_four load(const float *p)
{
    jr_four a;
    memcpy(&a, p, sizeof a);
    return a;
}

static inline void store(float *p, jr_four a) { memcpy(p, &a, sizeof a); }

static inline jr_four minimum(jr_four a, jr_four b)
{
    jr_four_ints less = a < b;
    return (jr_four)(((jr_four_ints)a & less) | ((jr_four_ints)b & ~less));
}

static inline int any_below(jr_four a, jr_four b)
{
    jr_four_ints enough = a >= b;
    return !(enough[0] && enough[1] && enough[2] && enough[3]);
}

static inline void NAME(transpose)(const float *const *rows, int64_t at, jr_four *out)
{
    for (int i = 0; i < 4; i++)
        out[i] = (jr_four){rows[0][at + i], rows[1][at + i], rows[2][at + i], rows[3][at + i]};
}

#define TARGET
#define LANES 4
#define VECTOR jr_four
#define INTS jr_four_ints
#define LOAD(p) load(p)
#define STORE(p, a) store(p, a)
#define SPLAT(x) ((jr_four){x, x, x, x})
#define MINIMUM(a, b) minimum(a, b)
#define ANY_BELOW(a, b) any_below(a, b)
#include "dtw_kernel.h"
