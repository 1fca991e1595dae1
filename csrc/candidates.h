/* The pairs of one query whose exact distances may have to be measured: rough scores in float32, and the numbers of
 * their rows in a second array, in the order in which they came. They gather until there is no room; then all are
 * dropped whose score says that k others are nearer. */
#ifndef JR_CANDIDATES_H
#define JR_CANDIDATES_H

#include <stdint.h>
#include <string.h>

#define JR_CANDIDATE_ROWS ((int64_t)1 << 32) /* what the number of a row has room for */

#define JR_INLINE static inline __attribute__((always_inline)) /* also into functions of a higher instruction set */

#define JR_VALUE_STEPS 16 /* halvings of a range of values, in which outliers would cost many; then of the orders */

/* Room for the candidates of one query: more than the neighbours', since scores say only roughly who is nearer. */
static inline int64_t jr_candidate_room(int64_t k)
{
    return 2 * k + 64;
}

/* The bits of a score that is a number, as an integer in its order. */
JR_INLINE int32_t jr_score_order(float score)
{
    int32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits ^ (bits < 0 ? INT32_MAX : 0);
}

JR_INLINE float jr_score_of_order(int32_t order)
{
    const int32_t bits = order ^ (order < 0 ? INT32_MAX : 0);
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* How many scores are not above `most`; an addition of vectors, whose lanes must not overflow. */
JR_INLINE int64_t jr_count_scores(const float *scores, int64_t n, float most)
{
    int64_t total = 0;
    for (int64_t first = 0; first < n; first += 1 << 24) {
        const int32_t rest = n - first < 1 << 24 ? (int32_t)(n - first) : 1 << 24;
        int32_t count = 0;
        for (int32_t i = 0; i < rest; i++)
            count += scores[first + i] <= most;
        total += count;
    }
    return total;
}

/* A score that k of n >= k scores do not exceed, and at most `most` where ties allow that. Found by halving, first the
 * values between the smallest and the largest, then the orders: to count needs no branches and moves nothing. */
JR_INLINE float jr_score_of_rank(const float *scores, int64_t n, int64_t k, int64_t most)
{
    int32_t low = INT32_MAX, high = INT32_MIN; /* fewer than k are up to the one, at least k up to the other */
    for (int64_t i = 0; i < n; i++) {
        const int32_t order = jr_score_order(scores[i]);
        low = order < low ? order : low;
        high = order > high ? order : high;
    }
    low--;
    int64_t count = n;
    for (int step = 0; count > most && (int64_t)high - low > 1; step++) {
        int32_t middle = (int32_t)(low + ((int64_t)high - low) / 2);
        if (step < JR_VALUE_STEPS) {
            const int32_t mean = jr_score_order(0.5f * jr_score_of_order(low) + 0.5f * jr_score_of_order(high));
            middle = mean > low && mean < high ? mean : middle;
        }
        const int64_t up_to = jr_count_scores(scores, n, jr_score_of_order(middle));
        if (up_to >= k) {
            high = middle;
            count = up_to;
        } else {
            low = middle;
        }
    }
    return jr_score_of_order(high);
}

/* Copies the candidates that are not above `most`, in their order, maybe to where they come from; returns how many. */
JR_INLINE int64_t jr_copy_candidates(const float *scores, const uint32_t *rows, int64_t n, float most,
                                     float *scores_out, uint32_t *rows_out)
{
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) {
        const float score = scores[i];
        scores_out[left] = score;
        rows_out[left] = rows[i];
        left += score <= most;
    }
    return left;
}

#endif
