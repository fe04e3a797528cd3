/* Compression of pages: see compress.h. */
#include "parquet/compress.h"

#include <lz4.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

/* The small table: 2^11 entries of 4 bytes. 0: as the level says. */
#define SMALL_HASH_LOG 11
#define USUAL_HASH_LOG 0
/* Smaller pages tell nothing. */
#define TRIAL_BYTES ((size_t)32 << 10)
#define TRIAL_EVERY 128
/* The usual table has to be better by a hundredth. */
#define TRIAL_GAIN 100

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
    compressor->level_one = level == 1;
    return NULL;
}

sl_error *sl_pqw_compressor_init(sl_pqw_compressor *compressor, sl_parquet_codec codec, int level) {
    *compressor = (sl_pqw_compressor){.codec = codec};
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

static sl_error *zstd_once(const sl_pqw_compressor *compressor, int hash_log, const void *data,
                           size_t bytes, uint8_t *to, size_t room, size_t *written) {
    if (compressor->level_one) {
        (void)ZSTD_CCtx_setParameter(compressor->context, ZSTD_c_hashLog, hash_log);
    }
    *written = ZSTD_compress2(compressor->context, to, room, data, bytes);
    if (!ZSTD_isError(*written)) {
        return NULL;
    }
    return ZSTD_getErrorCode(*written) == ZSTD_error_memory_allocation
               ? sl_error_no_memory()
               : sl_error_new(SL_ERROR_FATAL, "zstd: %s", ZSTD_getErrorName(*written));
}

/* Both ways; `to` gets the small table's result, which is hardly ever the larger one. */
static sl_error *try_tables(const sl_pqw_compressor *compressor, sl_pqw_compress_hint *hint,
                            const void *data, size_t bytes, uint8_t *to, size_t room,
                            size_t *written) {
    size_t usual;
    sl_error *error = zstd_once(compressor, USUAL_HASH_LOG, data, bytes, to, room, &usual);
    if (error == NULL) {
        error = zstd_once(compressor, SMALL_HASH_LOG, data, bytes, to, room, written);
    }
    hint->wide = usual < *written - *written / TRIAL_GAIN;
    hint->until_trial = TRIAL_EVERY;
    return error;
}

static sl_error *compress_zstd(const sl_pqw_compressor *compressor, sl_pqw_compress_hint *hint,
                               const void *data, size_t bytes, uint8_t *to, size_t room,
                               size_t *written) {
    if (compressor->level_one && hint != NULL && bytes >= TRIAL_BYTES) {
        if (hint->until_trial == 0) {
            return try_tables(compressor, hint, data, bytes, to, room, written);
        }
        hint->until_trial--;
    }
    bool wide = hint != NULL && hint->wide;
    return zstd_once(compressor, wide ? USUAL_HASH_LOG : SMALL_HASH_LOG, data, bytes, to, room,
                     written);
}

static sl_error *compress_lz4(const sl_pqw_compressor *compressor, const void *data, size_t bytes,
                              uint8_t *to, size_t room, size_t *written) {
    int n =
        LZ4_compress_fast_extState(compressor->context, data, (char *)to, (int)bytes, (int)room, 1);
    *written = (size_t)n;
    return n > 0 ? NULL : sl_error_new(SL_ERROR_FATAL, "lz4 could not compress %zu bytes", bytes);
}

static sl_error *compress_snappy(const void *data, size_t bytes, uint8_t *to, size_t room,
                                 size_t *written) {
    *written = room;
    snappy_status status = snappy_compress(data, bytes, (char *)to, written);
    return status == SNAPPY_OK ? NULL
                               : sl_error_new(SL_ERROR_FATAL, "snappy: status %d", (int)status);
}

sl_error *sl_pqw_compress(sl_pqw_compressor *compressor, sl_pqw_compress_hint *hint,
                          const void *data, size_t bytes, sl_buffer *out) {
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
    sl_error *error = NULL;
    if (compressor->codec == SL_PARQUET_ZSTD) {
        error = compress_zstd(compressor, hint, data, bytes, to, room, &written);
    } else if (compressor->codec == SL_PARQUET_LZ4_RAW) {
        error = compress_lz4(compressor, data, bytes, to, room, &written);
    } else {
        error = compress_snappy(data, bytes, to, room, &written);
    }
    out->bytes += error == NULL ? written : 0;
    return error;
}
