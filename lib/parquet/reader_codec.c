/*
 * Decompression of pages by the codecs' own libraries: snappy, zlib, zstd, lz4. Each must give
 * exactly the bytes that the page header promises.
 */
#include "parquet/reader_codec.h"

#include <lz4.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "parquet/format.h"

const char *sl_pqr_codec_name(int32_t codec) {
    static const char *const names[] = {"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO",
                                        "BROTLI",       "LZ4",    "ZSTD", "LZ4_RAW"};
    return codec >= 0 && codec <= SL_PARQUET_LZ4_RAW ? names[codec] : "unknown";
}

bool sl_pqr_codec_supported(int32_t codec) {
    return codec >= SL_PARQUET_UNCOMPRESSED && codec <= SL_PARQUET_LZ4_RAW &&
           codec != SL_PARQUET_LZO && codec != SL_PARQUET_BROTLI;
}

static bool zstd_plausible(const uint8_t *in, size_t in_bytes, size_t out_bytes) {
    unsigned long long content = ZSTD_getFrameContentSize(in, in_bytes);
    if (content == ZSTD_CONTENTSIZE_ERROR) {
        return false;
    }
    if (content != ZSTD_CONTENTSIZE_UNKNOWN && content > out_bytes) {
        return false;
    }
    /* the densest block is three bytes of header and one that is repeated 128 Ki times */
    return out_bytes / (128 * 1024) <= in_bytes / 4 + 1;
}

bool sl_pqr_codec_plausible(int32_t codec, const uint8_t *in, size_t in_bytes, size_t out_bytes) {
    size_t length = 0;
    switch (codec) {
    case SL_PARQUET_UNCOMPRESSED:
        return in_bytes == out_bytes;
    case SL_PARQUET_SNAPPY: /* at most 64 bytes from a copy of 3 */
        return snappy_uncompressed_length((const char *)in, in_bytes, &length) == SNAPPY_OK &&
               length == out_bytes && out_bytes / 32 <= in_bytes;
    case SL_PARQUET_GZIP: /* deflate's densest code: 258 bytes for two bits */
        return out_bytes / 1040 <= in_bytes;
    case SL_PARQUET_LZ4:
    case SL_PARQUET_LZ4_RAW: /* 255 bytes for each length byte */
        return out_bytes / 256 <= in_bytes;
    default:
        return zstd_plausible(in, in_bytes, out_bytes);
    }
}

/* gzip, or zlib where a writer took that; several members may follow each other. */
static bool inflate_all(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes,
                        bool *no_memory) {
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)in_bytes};
    stream.next_out = out;
    stream.avail_out = (uInt)out_bytes;
    if (in_bytes > UINT32_MAX || out_bytes > UINT32_MAX) {
        return false;
    }
    *no_memory = inflateInit2(&stream, 15 + 32) != Z_OK;
    if (*no_memory) {
        return false;
    }
    int status = inflate(&stream, Z_FINISH);
    while (status == Z_STREAM_END && stream.avail_in > 0 && stream.avail_out > 0 &&
           inflateReset(&stream) == Z_OK) {
        status = inflate(&stream, Z_FINISH);
    }
    inflateEnd(&stream);
    *no_memory = status == Z_MEM_ERROR; /* its window is allocated late */
    return status == Z_STREAM_END && stream.avail_out == 0;
}

static bool unzstd(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes, void **zstd,
                   bool *no_memory) {
    if (*zstd == NULL) {
        *zstd = ZSTD_createDCtx();
    }
    *no_memory = *zstd == NULL;
    return *zstd != NULL && ZSTD_decompressDCtx(*zstd, out, out_bytes, in, in_bytes) == out_bytes;
}

static bool unlz4(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes) {
    return in_bytes <= INT32_MAX && out_bytes <= INT32_MAX &&
           LZ4_decompress_safe((const char *)in, (char *)out, (int)in_bytes, (int)out_bytes) ==
               (int)out_bytes;
}

static uint32_t load_big_endian(const uint8_t *in) {
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* Hadoop's blocks: length decompressed, length compressed, both big-endian, then an LZ4 block. */
static bool unlz4_hadoop(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes) {
    while (in_bytes >= 8) {
        size_t whole = load_big_endian(in);
        size_t packed = load_big_endian(in + 4);
        in += 8;
        in_bytes -= 8;
        if (whole > out_bytes || packed > in_bytes || !unlz4(in, packed, out, whole)) {
            return false;
        }
        in += packed;
        in_bytes -= packed;
        out += whole;
        out_bytes -= whole;
    }
    return in_bytes == 0 && out_bytes == 0;
}

bool sl_pqr_decompress(int32_t codec, const uint8_t *in, size_t in_bytes, uint8_t *out,
                       size_t out_bytes, void **zstd, bool *no_memory) {
    size_t length = out_bytes;
    *no_memory = false;
    switch (codec) {
    case SL_PARQUET_UNCOMPRESSED:
        if (in_bytes == out_bytes && out_bytes > 0) {
            memcpy(out, in, out_bytes);
        }
        return in_bytes == out_bytes;
    case SL_PARQUET_SNAPPY:
        return snappy_uncompress((const char *)in, in_bytes, (char *)out, &length) == SNAPPY_OK &&
               length == out_bytes;
    case SL_PARQUET_GZIP:
        return inflate_all(in, in_bytes, out, out_bytes, no_memory);
    case SL_PARQUET_LZ4: /* some writers put a bare block there */
        return unlz4_hadoop(in, in_bytes, out, out_bytes) || unlz4(in, in_bytes, out, out_bytes);
    case SL_PARQUET_LZ4_RAW:
        return unlz4(in, in_bytes, out, out_bytes);
    case SL_PARQUET_ZSTD:
        return unzstd(in, in_bytes, out, out_bytes, zstd, no_memory);
    default:
        return false;
    }
}

void sl_pqr_codec_free(void *zstd) {
    ZSTD_freeDCtx(zstd);
}
