/* The k smallest of a stream of 64-bit keys, kept in a max-heap. A neighbour's key is distance << JR_ID_BITS | id,
 * so keys sort by (distance, id). */
#ifndef JR_KEY_HEAP_H
#define JR_KEY_HEAP_H

#include <stdint.h>

#define JR_ID_BITS 40
#define JR_ID_MASK (((uint64_t)1 << JR_ID_BITS) - 1)

/* Offers a key to a heap of `*size` of at most k keys (k >= 1). */
static inline void jr_key_heap_offer(uint64_t *heap, int64_t *size, int64_t k, uint64_t key)
{
    int64_t at;
    if (*size < k) {
        at = (*size)++;
        for (; at > 0 && heap[(at - 1) / 2] < key; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
    } else {
        if (key >= heap[0])
            return;
        at = 0;
        for (int64_t child; (child = 2 * at + 1) < k; at = child) {
            if (child + 1 < k && heap[child + 1] > heap[child])
                child++;
            if (heap[child] < key)
                break;
            heap[at] = heap[child];
        }
    }
    heap[at] = key;
}

/* For qsort. */
static inline int jr_key_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

#endif
