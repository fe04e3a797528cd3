/*
 * The nearest name to a misspelt one: optimal string alignment distance (Damerau-Levenshtein with
 * adjacent swaps), ASCII case folded.
 */
#include "base/base.h"

#define MAX_NAME_BYTES 96 /* longer names get no suggestion: the table stays on the stack */

static unsigned fold(char c) {
    return c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A' + 'a') : (unsigned char)c;
}

static unsigned min_of(unsigned a, unsigned b) {
    return a < b ? a : b;
}

static unsigned distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    unsigned rows[3][MAX_NAME_BYTES + 1];
    for (size_t j = 0; j <= b_bytes; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_bytes; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *above = rows[(i - 1) % 3];
        const unsigned *two_above = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_bytes; j++) {
            unsigned cost = fold(a[i - 1]) == fold(b[j - 1]) ? 0 : 1;
            now[j] = min_of(min_of(above[j] + 1, now[j - 1] + 1), above[j - 1] + cost);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1])) {
                now[j] = min_of(now[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

const char *sl_nearest_name(const char *name, const char *const *candidates, size_t n) {
    size_t bytes = strlen(name);
    if (bytes > MAX_NAME_BYTES) {
        return NULL;
    }
    const char *best = NULL;
    unsigned best_score = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t candidate_bytes = strlen(candidates[i]);
        if (candidate_bytes > MAX_NAME_BYTES || candidate_bytes == 0) {
            continue;
        }
        size_t longer = bytes > candidate_bytes ? bytes : candidate_bytes;
        unsigned d = distance(name, bytes, candidates[i], candidate_bytes);
        /* A third of the letters may be wrong; of two equally near names the one that begins alike.
         */
        if (d > 1 + longer / 4 || d >= longer) {
            continue;
        }
        unsigned score = 2 * d + (bytes > 0 && fold(name[0]) == fold(candidates[i][0]) ? 0 : 1);
        if (score < best_score) {
            best_score = score;
            best = candidates[i];
        }
    }
    return best;
}
