/* The Hamming search at one instruction set. Included once for each (hamming_x86.c, hamming_generic.c) with
 *   TARGET             the function attribute
 *   NAME(x)            the name of x at this level
 *   WORDS              64-bit words in a vector
 *   FEW, SOME          as in jr_hamming_kernel
 *   NIBBLES, SLICED    1 where the level has that form, 0 where not
 * and with what these forms and the direct one ask for.
 */
#include "hamming_state.h"

#define VECTOR NAME(words)
#define UNALIGNED NAME(unaligned_words)
#define INLINE TARGET static inline __attribute__((always_inline))

typedef uint64_t VECTOR __attribute__((vector_size(WORDS * 8)));
typedef uint64_t UNALIGNED __attribute__((vector_size(WORDS * 8), aligned(1), may_alias));

INLINE int64_t NAME(distance)(const uint8_t *a, const uint8_t *b, int64_t bytes)
{
    int64_t distance = 0, at = 0;
    for (; at + 8 <= bytes; at += 8)
        distance += __builtin_popcountll(jr_load_word(a + at, 8) ^ jr_load_word(b + at, 8));
    if (at < bytes)
        distance += __builtin_popcountll(jr_load_word(a + at, bytes - at) ^ jr_load_word(b + at, bytes - at));
    return distance;
}

#include "hamming_direct.h"
#if NIBBLES
#include "hamming_nibbles.h"
#endif
#if SLICED
#include "hamming_sliced.h"
#endif

const jr_hamming_kernel NAME(jr_hamming_kernel) = {
    .vector_bytes = WORDS * 8,
    .few = FEW,
    .some = SOME,
    .direct = NAME(direct),
#if NIBBLES
    .nibbles = NAME(nibbles),
#endif
#if SLICED
    .sliced = NAME(sliced),
#endif
};

#undef VECTOR
#undef UNALIGNED
#undef INLINE
