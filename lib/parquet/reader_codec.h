/* Decompression of pages: apache/parquet-format, Compression.md. */
#ifndef SL_PARQUET_READER_CODEC_H
#define SL_PARQUET_READER_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The codec's name in messages ("ZSTD"), or "unknown". */
const char *sl_pqr_codec_name(int32_t codec);
/* True for the codecs that are read. */
bool sl_pqr_codec_supported(int32_t codec);

/*
 * False when `in_bytes` of this codec cannot possibly hold `out_bytes`: asked before room is made,
 * so that a lying header cannot make the reader allocate at will.
 */
bool sl_pqr_codec_plausible(int32_t codec, const uint8_t *in, size_t in_bytes, size_t out_bytes);

/*
 * Decompresses into exactly `out_bytes`; false when the bytes are malformed or make another number.
 * *zstd is a ZSTD_DCtx that is made at need and kept by the caller (sl_pqr_codec_free). *no_memory
 * tells when it failed because memory is short.
 */
bool sl_pqr_decompress(int32_t codec, const uint8_t *in, size_t in_bytes, uint8_t *out,
                       size_t out_bytes, void **zstd, bool *no_memory);
void sl_pqr_codec_free(void *zstd);

#endif /* SL_PARQUET_READER_CODEC_H */
