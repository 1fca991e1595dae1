/* The pairs of one query whose exact distances may have to be measured: the key of one is a rough score in float32 and
 * the row's number, so that keys sort by score. They gather until there is no room; then all are dropped whose score
 * says that k others are nearer. */
#ifndef JR_CANDIDATES_H
#define JR_CANDIDATES_H

#include <stdint.h>
#include <string.h>

#define JR_CANDIDATE_ROWS ((int64_t)1 << 32) /* a key's room for the number of a row */

/* Room for the candidates of one query: more than the neighbours', since scores say only roughly who is nearer. */
static inline int64_t jr_candidate_room(int64_t k)
{
    return 2 * k + 64;
}

/* The bits of a score that is a number, in its order. */
static inline uint32_t jr_score_order(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

static inline uint64_t jr_candidate(float score, int64_t row)
{
    return (uint64_t)jr_score_order(score) << 32 | (uint32_t)row;
}

static inline int64_t jr_candidate_row(uint64_t key)
{
    return (int64_t)(key & 0xffffffffu);
}

static inline float jr_candidate_score(uint64_t key)
{
    uint32_t order = (uint32_t)(key >> 32), bits = order ^ (order >> 31 ? 0x80000000u : 0xffffffffu);
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* The largest key with this score. */
static inline uint64_t jr_last_candidate(float score)
{
    return jr_candidate(score, -1);
}

/* Moves keys before a pivot to the front and returns where the pivot comes to stand. No two are equal. The pivot is the
 * median of three places that hang on n alone. */
static inline int64_t jr_partition_keys(uint64_t *keys, int64_t n)
{
    int64_t places[3] = {(int64_t)((uint64_t)n * 2654435761u >> 3) % n, n / 2, n - 1};
    uint64_t a = keys[places[0]], b = keys[places[1]], c = keys[places[2]];
    int64_t middle = (a < b) == (b < c) ? places[1] : (a < b) == (a < c) ? places[2] : places[0];
    uint64_t pivot = keys[middle];
    keys[middle] = keys[n - 1];
    int64_t front = 0;
    for (int64_t i = 0; i < n - 1; i++) { /* without a branch on the data, which would be guessed wrong half the time */
        uint64_t here = keys[i];
        keys[i] = keys[front];
        keys[front] = here;
        front += here < pivot;
    }
    keys[n - 1] = keys[front];
    keys[front] = pivot;
    return front;
}

/* Brings the smallest of n >= k keys to the front, at least k of them and at most `most`; returns how many. The last of
 * them is the largest. */
static inline int64_t jr_select_keys(uint64_t *keys, int64_t n, int64_t k, int64_t most)
{
    for (int64_t from = 0, to = n;;) {
        int64_t count = from + jr_partition_keys(keys + from, to - from) + 1;
        if (count >= k && count <= most)
            return count;
        if (count < k)
            from = count;
        else
            to = count - 1;
    }
}

#endif
