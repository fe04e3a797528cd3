/*
 * The benchmark's yardstick: the CPU time of zstd level 1 over the same bytes, in blocks of 1 MiB.
 * Machines differ and are noisy; the ratio of a run's CPU time to this, measured at the same hour,
 * is what can be compared.
 *
 *   yardstick FILE    prints {"bytes": N, "compressed_bytes": N, "cpu_s": S}
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zstd.h>

#define BLOCK_BYTES (1024 * 1024)
#define LEVEL 1

static double cpu_seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* 0, or 1 after a message. */
static int measure(FILE *in, ZSTD_CCtx *context, char *block, char *out, size_t out_bytes) {
    uint64_t bytes = 0;
    uint64_t compressed_bytes = 0;
    double spent_s = 0;
    size_t n;
    while ((n = fread(block, 1, BLOCK_BYTES, in)) > 0) {
        double start_s = cpu_seconds();
        size_t made = ZSTD_compressCCtx(context, out, out_bytes, block, n, LEVEL);
        spent_s += cpu_seconds() - start_s;
        if (ZSTD_isError(made)) {
            (void)fprintf(stderr, "yardstick: %s\n", ZSTD_getErrorName(made));
            return 1;
        }
        bytes += n;
        compressed_bytes += made;
    }
    if (ferror(in) != 0) {
        perror("yardstick");
        return 1;
    }
    (void)printf("{\"bytes\": %llu, \"compressed_bytes\": %llu, \"cpu_s\": %.6f}\n",
                 (unsigned long long)bytes, (unsigned long long)compressed_bytes, spent_s);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        (void)fprintf(stderr, "usage: yardstick FILE\n");
        return 2;
    }
    FILE *in = fopen(argv[1], "rb");
    if (in == NULL) {
        perror(argv[1]);
        return 1;
    }
    size_t out_bytes = ZSTD_compressBound(BLOCK_BYTES);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    char *block = malloc(BLOCK_BYTES);
    char *out = malloc(out_bytes);
    int status = 1;
    if (context != NULL && block != NULL && out != NULL) {
        status = measure(in, context, block, out, out_bytes);
    } else {
        (void)fprintf(stderr, "yardstick: out of memory\n");
    }
    free(out);
    free(block);
    (void)ZSTD_freeCCtx(context);
    (void)fclose(in);
    return status;
}
