#include "cpu_features.h"

int jr_simd_supported(int level)
{
    switch (level) {
    case JR_PORTABLE:
        return 1;
#ifdef JR_X86
    /* The builtin reads CPUID and also XCR0, so a set that the OS does not save counts as absent. */
    case JR_SSE4:
        __builtin_cpu_init();
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    case JR_AVX2:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt");
    case JR_AVX512:
        return jr_simd_supported(JR_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case JR_AVX512_VPOPCNT:
        return jr_simd_supported(JR_AVX512) && __builtin_cpu_supports("avx512vpopcntdq");
#endif
#ifdef JR_ARM64
    case JR_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}
