/* Compression of pages: see compress.h. */
#include "parquet/compress.h"

#include <lz4.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>

static sl_error *init_zstd(sl_pqw_compressor *compressor, int level) {
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) {
        return sl_error_new(SL_ERROR_CONFIG, "zstd has no level %d; use %d to %d", level,
                            ZSTD_minCLevel(), ZSTD_maxCLevel());
    }
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL) {
        return sl_error_no_memory();
    }
    size_t code = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    if (ZSTD_isError(code)) {
        ZSTD_freeCCtx(context);
        return sl_error_new(SL_ERROR_CONFIG, "zstd level %d: %s", level, ZSTD_getErrorName(code));
    }
    compressor->context = context;
    return NULL;
}

sl_error *sl_pqw_compressor_init(sl_pqw_compressor *compressor, sl_parquet_codec codec, int level) {
    compressor->codec = codec;
    compressor->context = NULL;
    switch (codec) {
    case SL_PARQUET_ZSTD:
        return init_zstd(compressor, level);
    case SL_PARQUET_LZ4_RAW:
        compressor->context = malloc((size_t)LZ4_sizeofState());
        return compressor->context == NULL ? sl_error_no_memory() : NULL;
    case SL_PARQUET_SNAPPY:
    case SL_PARQUET_UNCOMPRESSED:
        return NULL;
    default:
        return sl_error_new(SL_ERROR_CONFIG,
                            "Parquet codec %d is not written; use zstd, snappy, lz4 or none",
                            (int)codec);
    }
}

void sl_pqw_compressor_free(sl_pqw_compressor *compressor) {
    if (compressor->codec == SL_PARQUET_ZSTD) {
        ZSTD_freeCCtx(compressor->context);
    } else {
        free(compressor->context);
    }
    compressor->context = NULL;
}

static size_t bound(sl_parquet_codec codec, size_t bytes) {
    switch (codec) {
    case SL_PARQUET_ZSTD:
        return ZSTD_compressBound(bytes);
    case SL_PARQUET_LZ4_RAW:
        return (size_t)LZ4_compressBound((int)bytes);
    case SL_PARQUET_SNAPPY:
        return snappy_max_compressed_length(bytes);
    default:
        return bytes;
    }
}

sl_error *sl_pqw_compress(sl_pqw_compressor *compressor, const void *data, size_t bytes,
                          sl_buffer *out) {
    size_t room = bytes > INT32_MAX ? 0 : bound(compressor->codec, bytes);
    if (room == 0 && bytes > 0) {
        return sl_error_new(SL_ERROR_FATAL, "a page of %zu bytes is too large to compress", bytes);
    }
    if (compressor->codec == SL_PARQUET_UNCOMPRESSED) {
        return sl_buffer_append(out, data, bytes) ? NULL : sl_error_no_memory();
    }
    if (!sl_buffer_reserve(out, room)) {
        return sl_error_no_memory();
    }
    uint8_t *to = out->data + out->bytes;
    size_t written = 0;
    if (compressor->codec == SL_PARQUET_ZSTD) {
        written = ZSTD_compress2(compressor->context, to, room, data, bytes);
        if (ZSTD_isError(written)) {
            return sl_error_new(SL_ERROR_FATAL, "zstd: %s", ZSTD_getErrorName(written));
        }
    } else if (compressor->codec == SL_PARQUET_LZ4_RAW) {
        int n = LZ4_compress_fast_extState(compressor->context, data, (char *)to, (int)bytes,
                                           (int)room, 1);
        if (n <= 0) {
            return sl_error_new(SL_ERROR_FATAL, "lz4 could not compress %zu bytes", bytes);
        }
        written = (size_t)n;
    } else {
        written = room;
        snappy_status status = snappy_compress(data, bytes, (char *)to, &written);
        if (status != SNAPPY_OK) {
            return sl_error_new(SL_ERROR_FATAL, "snappy: status %d", (int)status);
        }
    }
    out->bytes += written;
    return NULL;
}
