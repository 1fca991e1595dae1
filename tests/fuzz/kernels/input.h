/* What a harness needs: numbers out of a fuzzer's bytes, and a loud end where a result is wrong. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_features.h"

/* The entry that libFuzzer, and standalone.c in its stead, call. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition, ...) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__); \
            fputc('\n', stderr); \
            abort(); \
        } \
    } while (0)

/* Bytes to be taken one after another. Behind the last come some that depend on all before, so that a few bytes
 * already give a large case. */
typedef struct {
    const uint8_t *at, *end;
    uint64_t state;
} input;

static inline input input_of(const uint8_t *data, size_t size)
{
    input in = {data, data + size, 0x9e3779b97f4a7c15u};
    for (size_t i = 0; i < size; i++)
        in.state = (in.state ^ data[i]) * 0x100000001b3u;
    return in;
}

static inline uint8_t take_byte(input *in)
{
    if (in->at < in->end)
        return *in->at++;
    in->state = in->state * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(in->state >> 56);
}

/* An integer in [low, high], of two bytes. */
static inline int64_t take_between(input *in, int64_t low, int64_t high)
{
    int64_t value = take_byte(in);
    value = value << 8 | take_byte(in);
    return low + value % (high - low + 1);
}

/* Whether the case is to be a large one: now and then, as most of what can go wrong goes wrong in small ones, and those
 * are tried a hundred times as fast. */
static inline int take_rarely(input *in)
{
    return take_byte(in) >= 250;
}

/* As many of `wanted` things as a case has the time for, at least 1, where each takes `work` additions. */
static inline int64_t limited(int64_t wanted, int64_t work)
{
    int64_t most = 60000 / work;
    return wanted < most ? wanted : most > 1 ? most : 1;
}

/* What numbers look like. */
enum kind {
    WHOLE,  /* small integers: sums are exact, and many distances are equal */
    NEAR,   /* close together, far from the origin */
    SCALED, /* of all magnitudes that are safe to square */
    ANY,    /* any bits: NaN, infinities, subnormal and huge numbers */
    KINDS,
};

static inline float take_number(input *in, enum kind kind)
{
    uint32_t bits = 0;
    switch (kind) {
    case WHOLE:
        return (float)(take_byte(in) % 7) - 3.0f;
    case NEAR:
        return 1000.0f + (float)(take_byte(in) % 16) * 0x1p-13f;
    case SCALED:
        return ldexpf((float)(int8_t)take_byte(in), take_byte(in) % 60 - 40);
    default:
        for (int i = 0; i < 4; i++)
            bits = bits << 8 | take_byte(in);
        float value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
}

/* Memory of exactly this size, so that a sanitizer sees each step beyond it. */
static inline void *exactly(int64_t count, size_t item)
{
    void *memory = malloc((size_t)count * item);
    REQUIRE(memory, "no memory for %lld items", (long long)count);
    memset(memory, 0xA5, (size_t)count * item);
    return memory;
}

static inline float *take_numbers(input *in, enum kind kind, int64_t count)
{
    float *numbers = exactly(count, sizeof *numbers);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = take_number(in, kind);
    return numbers;
}

/* Portable code first, then one level of those that this CPU has, or in rare cases all. */
#define ALL_LEVELS JR_SIMD_LEVELS
#define FOR_EACH_LEVEL(level, chosen) \
    for (int level = 0; level < JR_SIMD_LEVELS; level++) \
        if (jr_simd_supported(level) && (level == JR_PORTABLE || level == (chosen) || (chosen) == ALL_LEVELS))

static inline int take_level(input *in)
{
    return take_rarely(in) ? ALL_LEVELS : take_byte(in) % JR_SIMD_LEVELS;
}

/* A candidate of a twin's ranking. */
typedef struct {
    double distance;
    int64_t id;
} ranked;

static inline int by_distance_and_id(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

#endif
