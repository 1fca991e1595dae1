/* The vector and code searches against brute force, without Python: for compilers and CPUs that only an emulator
 * has. Built and run by tests/rank/other_compilers.sh; the argument is the SIMD level of csrc/cpu_features.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpu_features.h"
#include "hamming.h"
#include "topk.h"

static uint32_t state = 1;

static int random_below(int n)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (uint32_t)n);
}

static double euclidean_distance(const float *a, const float *b, int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

/* On the grid of the reported distances (topk_measure.h). */
static double cosine_distance(const float *a, const float *b, int d)
{
    double dot = 0, aa = 0, bb = 0;
    for (int i = 0; i < d; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return rint((1.0 - (aa > 0 && bb > 0 ? dot / sqrt(aa * bb) : 0.0)) * 0x1p40) * 0x1p-40;
}

static double bit_distance(const uint8_t *a, const uint8_t *b, int bytes)
{
    int sum = 0;
    for (int i = 0; i < bytes; i++)
        sum += __builtin_popcount((unsigned)(a[i] ^ b[i]));
    return sum;
}

/* 1 if place `rank` of a query's results is not taken by the item of that rank by (distance, id). */
static int misplaced(const double *distances, int n, int64_t id, int rank)
{
    int before = 0;
    for (int i = 0; i < n; i++)
        before += distances[i] < distances[id] || (distances[i] == distances[id] && i < id);
    return before != rank;
}

enum { N = 700, K = 9, MANY = 300, MAX_QUERIES = 60, MAX_WIDTH = 300 };

static float float_queries[MAX_QUERIES * MAX_WIDTH], float_gallery[N * MAX_WIDTH], near[MAX_QUERIES * MANY];
static uint8_t query_codes[MAX_QUERIES * MAX_WIDTH], gallery_codes[N * MAX_WIDTH];
static int64_t ids[MAX_QUERIES * MANY];
static double distances[N];

static int check_vectors(int level, int count, int d, int k, int metric)
{
    int wrong = 0;
    int64_t bad_row;
    for (int i = 0; i < count * d; i++)
        float_queries[i] = (float)(random_below(9) - 4);
    for (int i = 0; i < N * d; i++)
        float_gallery[i] = (float)(random_below(9) - 4);
    jr_topk *search = jr_topk_new(float_queries, count, d, k, metric, 2, level);
    wrong += jr_topk_add(search, float_gallery, N, 0, NULL, NULL, &bad_row) != JR_OK;
    wrong += jr_topk_finish(search, ids, near, NULL) != JR_OK;
    jr_topk_free(search);
    for (int q = 0; q < count; q++) {
        for (int i = 0; i < N; i++) {
            const float *query = float_queries + q * d, *row = float_gallery + i * d;
            /* as reported: equal ones tie in float32 */
            distances[i] = (float)(metric == JR_COSINE ? cosine_distance : euclidean_distance)(query, row, d);
        }
        for (int i = 0; i < k; i++) {
            int64_t id = ids[q * k + i];
            wrong += near[q * k + i] != (float)distances[id] || misplaced(distances, N, id, i);
        }
    }
    return wrong;
}

static int check_codes(int level, int count, int bytes)
{
    int wrong = 0;
    for (int i = 0; i < count * bytes; i++)
        query_codes[i] = (uint8_t)random_below(256);
    for (int i = 0; i < N * bytes; i++)
        gallery_codes[i] = (uint8_t)random_below(256);
    jr_hamming *search = jr_hamming_new(query_codes, count, bytes, K, 0, 2, level);
    wrong += jr_hamming_search(search, gallery_codes, N, NULL, NULL) != JR_OK;
    wrong += jr_hamming_finish(search, ids, near) != JR_OK;
    jr_hamming_free(search);
    for (int q = 0; q < count; q++) {
        for (int i = 0; i < N; i++)
            distances[i] = bit_distance(query_codes + q * bytes, gallery_codes + i * bytes, bytes);
        for (int i = 0; i < K; i++) {
            int64_t id = ids[q * K + i];
            wrong += near[q * K + i] != (float)distances[id] || misplaced(distances, N, id, i);
        }
    }
    return wrong;
}

int main(int count, char **arguments)
{
    int level = count > 1 ? atoi(arguments[1]) : JR_PORTABLE, wrong = 0;
    if (!jr_simd_supported(level)) {
        printf("level %d: not on this CPU\n", level);
        return 0;
    }
    for (int queries = 1; queries < MAX_QUERIES; queries += 13) {
        for (int d = 1; d < MAX_WIDTH; d += 37)
            wrong += check_vectors(level, queries, d, d % 2 ? K : MANY, d % 3 ? JR_EUCLIDEAN : JR_COSINE);
        for (int bytes = 1; bytes < 70; bytes += 7)
            wrong += check_codes(level, queries, bytes);
    }
    printf("level %d: %d wrong\n", level, wrong);
    return wrong != 0;
}
