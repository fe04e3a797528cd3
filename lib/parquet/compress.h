/*
 * Compression of pages: one object for the codec's context, which costs more to make than a page
 * to compress. One thread at a time.
 */
#ifndef SL_PARQUET_COMPRESS_H
#define SL_PARQUET_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "parquet/format.h"

typedef struct sl_pqw_compressor {
    sl_parquet_codec codec;
    bool level_one; /* zstd's level 1, whose hash table is worth choosing */
    void *context;  /* ZSTD_CCtx or lz4's state */
} sl_pqw_compressor;

/*
 * What the pages of one column have taught. zstd's level 1 looks for repeats by a table of the
 * places seen last. A small one fits the first-level cache and forgets the far past, which for
 * records that resemble their neighbours costs a sixth of the time less and not one byte; other
 * columns need the usual one. Now and then a page is compressed both ways to see. Zero-initialise.
 */
typedef struct sl_pqw_compress_hint {
    bool wide;            /* the usual table */
    uint32_t until_trial; /* pages */
} sl_pqw_compress_hint;

/* CONFIG when the codec is none that we write or the level is not one of its; NO_MEMORY. */
sl_error *sl_pqw_compressor_init(sl_pqw_compressor *compressor, sl_parquet_codec codec, int level);
void sl_pqw_compressor_free(sl_pqw_compressor *compressor);

/*
 * Appends the compressed form of `data` to `out`; an UNCOMPRESSED codec appends the bytes
 * themselves. At most 2^31 - 1 bytes. `hint` NULL: nothing is known, nothing is learnt. NO_MEMORY;
 * FATAL when the codec's library reports a failure.
 */
sl_error *sl_pqw_compress(sl_pqw_compressor *compressor, sl_pqw_compress_hint *hint,
                          const void *data, size_t bytes, sl_buffer *out);

#endif /* SL_PARQUET_COMPRESS_H */
