/*
 * Uploads: encoded bytes from the encoder's thread to the store by a worker. A file that was ended
 * before its first upload is one put, which can be repeated; a larger one goes up in pieces through
 * a store writer.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/encoder_internal.h"

/* An open file's bytes are worth an upload of their own from here on. */
#define PIECE_BYTES ((size_t)1 << 20)

/* An open file goes up in whole blocks; what is over stays. */
static void take_item(sl_delta_upload *upload, sl_delta_encoder *encoder, out_file *file) {
    upload_item *item = &upload->items[upload->n++];
    *item = (upload_item){.file = file, .bytes = file->bytes, .last = file->ended};
    file->in_upload = true;
    file->bytes = (delta_region){0};
    if (!file->ended) {
        size_t rest = item->bytes.bytes % DELTA_REGION_BLOCK;
        file->bytes = delta_encoder_region(encoder);
        if (delta_region_append(&file->bytes, item->bytes.data + item->bytes.bytes - rest, rest)) {
            item->bytes.bytes -= rest;
        }
    }
}

sl_error *sl_delta_encoder_take(sl_delta_encoder *encoder, sl_delta_upload **out) {
    *out = NULL;
    if (encoder->upload != NULL) {
        return sl_error_new(SL_ERROR_FATAL, "an upload of this encoder is still under way");
    }
    /* A flush takes its own files, and nothing that came after. */
    bool flush = encoder->n_flushed > 0;
    size_t n_ended = flush ? encoder->n_flushed : encoder->n_ended;
    size_t n = n_ended;
    for (size_t i = 0; i < encoder->n_open && !flush; i++) {
        n += encoder->open[i]->bytes.bytes >= PIECE_BYTES;
    }
    if (n == 0) {
        return NULL;
    }
    sl_delta_upload *upload = calloc(1, sizeof(*upload));
    if (upload != NULL) {
        upload->items = calloc(n, sizeof(*upload->items));
    }
    if (upload == NULL || upload->items == NULL) {
        free(upload);
        return sl_error_no_memory();
    }
    for (size_t i = 0; i < n_ended; i++) {
        take_item(upload, encoder, encoder->ended[i]);
    }
    encoder->n_ended -= n_ended;
    encoder->n_flushed = 0;
    if (encoder->n_ended > 0) {
        memmove(encoder->ended, encoder->ended + n_ended, encoder->n_ended * sizeof(out_file *));
    }
    for (size_t i = 0; i < encoder->n_open && !flush; i++) {
        if (encoder->open[i]->bytes.bytes >= PIECE_BYTES) {
            take_item(upload, encoder, encoder->open[i]);
        }
    }
    encoder->upload = upload;
    *out = upload;
    return NULL;
}

/* ---- on the worker ---- */

/* After an unclear answer the file may be there already: its name is ours alone. */
static sl_error *put_whole(const upload_item *item, sl_store *store) {
    const char *path = item->file->file.path;
    sl_error *error =
        store->ops->put(store, path, item->bytes.data, item->bytes.bytes, SL_STORE_IF_ABSENT);
    if (!sl_error_is(error, SL_ERROR_EXISTS)) {
        return error;
    }
    sl_store_entry entry = {0};
    sl_error *unknown = store->ops->stat(store, path, &entry);
    if (unknown == NULL && entry.bytes == (int64_t)item->bytes.bytes) {
        sl_error_free(error);
        return NULL;
    }
    sl_error_free(unknown);
    return error;
}

static sl_error *pieces_lost(sl_error *error) {
    if (!sl_error_is(error, SL_ERROR_RETRIABLE)) {
        return error;
    }
    sl_error *lost =
        sl_error_new(SL_ERROR_CONFLICT,
                     "%s; the file was being written in pieces and cannot be begun again: its rows "
                     "have to be read again from the stored positions",
                     sl_error_message(error));
    sl_error_free(error);
    return lost;
}

static sl_error *put_piece(const upload_item *item, sl_store *store) {
    out_file *file = item->file;
    sl_error *error = NULL;
    if (file->store_writer == NULL) {
        error = store->ops->writer_open(store, file->file.path, SL_STORE_IF_ABSENT,
                                        &file->store_writer);
        if (error != NULL) {
            return error; /* nothing is written yet: may be tried again */
        }
    }
    error = store->ops->writer_write(file->store_writer, item->bytes.data, item->bytes.bytes);
    if (error != NULL) {
        store->ops->writer_abort(file->store_writer);
        file->store_writer = NULL;
        return pieces_lost(error);
    }
    if (item->last) {
        error = store->ops->writer_commit(file->store_writer);
        file->store_writer = NULL;
    }
    return error == NULL ? NULL : pieces_lost(error);
}

sl_error *sl_delta_upload_run(sl_delta_upload *upload, sl_store *store) {
    for (size_t i = 0; i < upload->n; i++) {
        upload_item *item = &upload->items[i];
        if (item->stored) {
            continue;
        }
        bool whole = item->last && item->file->store_writer == NULL;
        sl_error *error = whole ? put_whole(item, store) : put_piece(item, store);
        if (error != NULL) {
            return error;
        }
        item->stored = true;
    }
    return NULL;
}

/* ---- back ---- */

/* One item's file: handed over, given back to the encoder, or dropped. */
static sl_error *end_item(upload_item *item, sl_delta_encoder *encoder, bool keep,
                          sl_delta_files *files, bool *missing) {
    out_file *file = item->file;
    sl_error *error = NULL;
    file->in_upload = false;
    *missing = *missing || (keep && !item->stored);
    if (item->last || file->dropped) {
        if (keep && item->stored) {
            error = sl_delta_files_add(files, &file->file);
        }
        delta_out_file_free(file);
    }
    if (encoder != NULL) {
        delta_encoder_return_region(encoder, &item->bytes);
    } else {
        delta_region_free(&item->bytes);
    }
    return error;
}

sl_error *sl_delta_upload_end(sl_delta_upload *upload, sl_delta_encoder *encoder,
                              sl_delta_files *files) {
    bool keep = encoder != NULL && !upload->discarded;
    bool missing = false;
    sl_error *error = NULL;
    if (encoder != NULL) {
        encoder->upload = NULL;
    }
    for (size_t i = 0; i < upload->n; i++) {
        sl_error *failed = end_item(&upload->items[i], encoder, keep, files, &missing);
        if (error == NULL) {
            error = failed;
        } else {
            sl_error_free(failed);
        }
    }
    free(upload->items);
    free(upload);
    if (error == NULL && missing) {
        error = sl_error_new(SL_ERROR_FATAL, "data files could not be stored");
    }
    return error;
}

sl_error *sl_delta_encoder_store(sl_delta_encoder *encoder, sl_store *store,
                                 sl_delta_files *files) {
    sl_delta_upload *upload = NULL;
    sl_error *error = sl_delta_encoder_end_files(encoder);
    error = error ? error : sl_delta_encoder_take(encoder, &upload);
    if (error != NULL || upload == NULL) {
        return error;
    }
    error = sl_delta_upload_run(upload, store);
    sl_error *ended = sl_delta_upload_end(upload, encoder, files);
    if (error == NULL) {
        return ended;
    }
    sl_error_free(ended);
    return error;
}

void sl_delta_remove_files(sl_store *store, const sl_delta_files *files) {
    for (size_t i = 0; i < files->n; i++) {
        sl_error_free(store->ops->remove(store, files->items[i].path));
    }
}
