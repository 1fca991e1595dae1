/* Instruction sets that the kernels are written for, and which of them this CPU (and its OS) can run. */
#ifndef JR_CPU_FEATURES_H
#define JR_CPU_FEATURES_H

enum jr_simd {
    JR_PORTABLE = 0,       /* what the compiler may assume of every machine of the architecture */
    JR_AVX2 = 1,           /* AVX2 + FMA */
    JR_AVX512 = 2,         /* AVX-512 F, BW, DQ, VL (Skylake-X) */
    JR_AVX512_VPOPCNT = 3, /* and VPOPCNTDQ (Ice Lake) */
    JR_NEON = 4,           /* AArch64 */
    JR_SSE4 = 5,           /* SSE4.2 + POPCNT (x86-64-v2, Nehalem) */
    JR_SIMD_LEVELS = 6,
};

/* 1 if kernels of this level may run here, 0 if not (also for a number that is no level). */
int jr_simd_supported(int level);

#if defined(__x86_64__) || defined(__i386__)
#define JR_X86 1
#define JR_TARGET_SSE4 __attribute__((target("sse4.2,popcnt")))
#define JR_TARGET_AVX2 __attribute__((target("avx2,fma,popcnt")))
#define JR_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,popcnt")))
#define JR_TARGET_AVX512_VPOPCNT \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,avx2,fma,popcnt")))
#elif defined(__aarch64__)
#define JR_ARM64 1
#endif

#endif
