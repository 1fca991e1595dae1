/* Scaling of images for AVX2. */
#include "cpu_features.h"

#ifdef JR_X86

#include <immintrin.h>
#include <string.h>

#include "scaling_kernel.h"

enum { PAIR_READ = 8, BYTES = 16 };

/* Two pixels of three channels a step, each in half a vector. */
JR_TARGET_AVX2 void jr_scale_across_avx2(const uint8_t *row, int64_t readable, const struct jr_footprints *across,
                                         uint8_t *out)
{
    const __m128i halves = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i lowest = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    int64_t x = 0;
    for (; x < across->count; x++) {
        const int64_t begin = JR_SCALING_CHANNELS * (int64_t) across->first[x];
        const int64_t last = (across->lengths[x] - 1) & ~1; /* pixel of the last step */
        if (begin + JR_SCALING_CHANNELS * last + PAIR_READ > readable)
            break; /* at the end of the image, where a pixel is read on its own */
        const uint8_t *seen = row + begin;
        const int32_t *weights = across->weights + x * across->most;
        __m256i sums = _mm256_setzero_si256();
        for (int64_t n = 0; n <= last; n += 2) {
            __m128i pair = _mm_loadl_epi64((const __m128i *) (seen + JR_SCALING_CHANNELS * n));
            __m256i values = _mm256_cvtepu8_epi32(_mm_shuffle_epi8(pair, halves));
            __m256i factors = _mm256_set_m128i(_mm_set1_epi32(weights[n + 1]), _mm_set1_epi32(weights[n]));
            sums = _mm256_add_epi32(sums, _mm256_mullo_epi32(values, factors));
        }
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(JR_SCALING_HALF)), JR_SCALING_BITS);
        const int32_t pixel = _mm_cvtsi128_si32(_mm_shuffle_epi8(sum, lowest));
        memcpy(out + JR_SCALING_CHANNELS * x, &pixel, sizeof pixel); /* a byte of the next, which comes later */
    }
    for (; x < across->count; x++)
        jr_scale_pixel(row, across, x, out);
}

JR_TARGET_AVX2 void jr_scale_down_avx2(const uint8_t *const *rows, const int32_t *weights, int64_t count,
                                       int64_t bytes, uint8_t *out)
{
    const __m256i half = _mm256_set1_epi32(JR_SCALING_HALF);
    int64_t at = 0;
    for (; at + BYTES <= bytes; at += BYTES) {
        __m256i low = half, high = half;
        for (int64_t n = 0; n < count; n++) {
            __m128i values = _mm_loadu_si128((const __m128i *) (rows[n] + at));
            __m256i factors = _mm256_set1_epi32(weights[n]);
            low = _mm256_add_epi32(low, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(values), factors));
            values = _mm_srli_si128(values, 8);
            high = _mm256_add_epi32(high, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(values), factors));
        }
        low = _mm256_srai_epi32(low, JR_SCALING_BITS);
        high = _mm256_srai_epi32(high, JR_SCALING_BITS);
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
        __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *) (out + at), packed);
    }
    for (; at < bytes; at++)
        out[at] = jr_scale_byte(rows, weights, count, at);
}

#endif
