/*
 * The Azure Blob store's writing. A blob that fits one block goes by Put Blob, a longer one by Put
 * Block, some at a time, and Put Block List, which makes it appear. Each put carries a random mark
 * in its metadata: when an answer was lost and the repeated put finds the blob there, the mark
 * tells whether it is ours.
 */
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/azure.h"

#define BLOCK_ID_CHARS 24 /* base64 of "%08zx" and ten digits of the mark */

/* ---- puts whose answer may be lost ---- */

/* The blob at the path carries this mark. RETRIABLE when it has been removed since: whose it was
 * will never be known, and the path may be free. */
static sl_error *is_ours(const azure_store *azure, const char *path, const char *mark, bool *ours) {
    azure_call call = {.method = "HEAD", .action = "read back", .path = path};
    sl_http_answer answer;
    sl_error *error = sl_azure_perform(azure, &call, &answer);
    if (sl_error_is(error, SL_ERROR_NOT_FOUND)) {
        sl_error_free(error);
        return sl_error_new(SL_ERROR_RETRIABLE,
                            "cannot write %s/%s: it was there, and was removed at the same moment",
                            azure->url, path);
    }
    if (error != NULL) {
        return error;
    }
    size_t bytes = 0;
    const char *found = sl_http_header_value(&answer.response, AZURE_TOKEN_HEADER, &bytes);
    *ours = found != NULL && bytes == strlen(mark) && memcmp(found, mark, bytes) == 0;
    sl_http_answer_free(&answer);
    return NULL;
}

/* The last request of a put: Put Blob or Put Block List. */
static sl_error *put_whole(const azure_store *azure, azure_call *call, const char *mark,
                           unsigned flags) {
    char md5[25];
    sl_error *error = sl_azure_md5(call->body, call->body_bytes, md5);
    if (error != NULL) {
        return error;
    }
    sl_azure_header(call, "Content-MD5", md5);
    sl_azure_header(call, AZURE_TOKEN_HEADER, mark);
    if ((flags & SL_STORE_IF_ABSENT) != 0) {
        sl_azure_header(call, "If-None-Match", "*");
    }
    sl_http_answer answer;
    error = sl_azure_answer(azure, call, &answer);
    if (error != NULL) {
        return error;
    }
    if (answer.response.status != 201) {
        /* an earlier attempt may have made it: libcurl repeats one by itself, too, when a
           connection that was used before ends just then */
        error = sl_azure_error(azure, call, &answer.response);
        bool ours = false;
        if (sl_error_is(error, SL_ERROR_EXISTS)) {
            sl_error *unread = is_ours(azure, call->path, mark, &ours);
            if (unread != NULL) {
                sl_error_free(error);
                error = unread;
            }
        }
        if (ours) {
            sl_error_free(error);
            error = NULL;
        }
    }
    sl_http_answer_free(&answer);
    return error;
}

static sl_error *put_blob(const azure_store *azure, const char *path, const void *data,
                          size_t bytes, unsigned flags) {
    char mark[AZURE_TOKEN_CHARS + 1];
    sl_error *error = sl_azure_random(mark);
    if (error != NULL) {
        return error;
    }
    azure_call call = {
        .method = "PUT", .action = "write", .path = path, .body = data, .body_bytes = bytes};
    sl_azure_header(&call, "x-ms-blob-type", "BlockBlob");
    return put_whole(azure, &call, mark, flags);
}

sl_error *sl_azure_put(sl_store *store, const char *path, const void *data, size_t bytes,
                       unsigned flags) {
    azure_store *azure = (azure_store *)store;
    sl_error *error = sl_store_check_path(azure->url, path);
    if (error == NULL) {
        error = sl_azure_may_write(azure, "write", path);
    }
    if (error != NULL || bytes <= AZURE_BLOCK_BYTES) {
        return error != NULL ? error : put_blob(azure, path, data, bytes, flags);
    }
    sl_store_writer *writer = NULL;
    error = sl_azure_writer_open(store, path, flags, &writer);
    if (error != NULL) {
        return error;
    }
    error = sl_azure_writer_write(writer, data, bytes);
    if (error != NULL) {
        sl_azure_writer_abort(writer);
        return error;
    }
    return sl_azure_writer_commit(writer);
}

/* ---- blocks ---- */

struct azure_writer;

/* A block on its way. */
struct block {
    struct azure_writer *writer;
    azure_call call;
    char query[80];
    char md5[25];
    char *url;
    sl_buffer bytes;
    bool busy;
};

typedef struct azure_writer {
    sl_store_writer base;
    char *path;
    unsigned flags;
    char mark[AZURE_TOKEN_CHARS + 1];
    sl_buffer filling;
    size_t n_blocks;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct block blocks[AZURE_BLOCKS_AT_A_TIME];
    sl_error *error; /* the first of a block */
} azure_writer;

static void block_id(const azure_writer *writer, size_t index, char out[BLOCK_ID_CHARS + 1]) {
    char plain[19];
    snprintf(plain, sizeof(plain), "%08x%.10s", (unsigned)index, writer->mark);
    EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)plain, 18);
}

static void block_done(void *arg, const sl_http_response *response, sl_error *error) {
    struct block *block = arg;
    azure_writer *writer = block->writer;
    const azure_store *azure = (const azure_store *)writer->base.store;
    if (error == NULL && response->status != 201) {
        error = sl_azure_error(azure, &block->call, response);
    }
    pthread_mutex_lock(&writer->lock);
    if (writer->error == NULL) {
        writer->error = error;
    } else {
        sl_error_free(error);
    }
    block->busy = false;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
}

static struct block *free_block(azure_writer *writer) {
    pthread_mutex_lock(&writer->lock);
    struct block *found = NULL;
    while (found == NULL) {
        for (size_t i = 0; i < AZURE_BLOCKS_AT_A_TIME && found == NULL; i++) {
            found = writer->blocks[i].busy ? NULL : &writer->blocks[i];
        }
        if (found == NULL) {
            pthread_cond_wait(&writer->changed, &writer->lock);
        }
    }
    pthread_mutex_unlock(&writer->lock);
    return found;
}

/* Waits for all blocks; the first error of one, moved. */
static sl_error *wait_for_blocks(azure_writer *writer) {
    pthread_mutex_lock(&writer->lock);
    for (size_t i = 0; i < AZURE_BLOCKS_AT_A_TIME; i++) {
        while (writer->blocks[i].busy) {
            pthread_cond_wait(&writer->changed, &writer->lock);
        }
    }
    sl_error *error = writer->error;
    writer->error = NULL;
    pthread_mutex_unlock(&writer->lock);
    return error;
}

static sl_error *take_error(azure_writer *writer) {
    pthread_mutex_lock(&writer->lock);
    sl_error *error = writer->error;
    writer->error = NULL;
    pthread_mutex_unlock(&writer->lock);
    return error;
}

/* Sends what is filling as the next block. */
static sl_error *send_block(azure_writer *writer) {
    const azure_store *azure = (const azure_store *)writer->base.store;
    struct block *block = free_block(writer);
    sl_error *error = take_error(writer);
    if (error != NULL) {
        return error;
    }
    if (writer->n_blocks == AZURE_MAX_BLOCKS) {
        return sl_error_new(SL_ERROR_FATAL, "cannot write %s/%s: it has more than %d blocks",
                            azure->url, writer->path, AZURE_MAX_BLOCKS);
    }
    /* the two buffers change places, so that their memory is used again */
    sl_buffer empty = block->bytes;
    block->bytes = writer->filling;
    writer->filling = empty;
    sl_buffer_clear(&writer->filling);
    char id[BLOCK_ID_CHARS + 1];
    block_id(writer, writer->n_blocks++, id);
    sl_buffer query = SL_BUFFER_INIT;
    sl_percent_encode(&query, id, strlen(id), "");
    snprintf(block->query, sizeof(block->query), "comp=block&blockid=%.*s", (int)query.bytes,
             query.data != NULL ? (const char *)query.data : "");
    sl_buffer_free(&query);
    block->writer = writer;
    block->call = (azure_call){.method = "PUT",
                               .action = "write",
                               .path = writer->path,
                               .query = block->query,
                               .body = block->bytes.data,
                               .body_bytes = block->bytes.bytes};
    free(block->url);
    block->url = NULL;
    error = sl_azure_md5(block->bytes.data, block->bytes.bytes, block->md5);
    if (error == NULL) {
        error = sl_azure_url(azure, &block->call, &block->url);
    }
    if (error != NULL) {
        return error;
    }
    sl_azure_header(&block->call, "Content-MD5", block->md5);
    sl_azure_header(&block->call, "x-ms-version", AZURE_VERSION);
    sl_azure_header(&block->call, "Content-Type", "application/octet-stream");
    sl_http_request request;
    sl_azure_request(azure, &block->call, block->url, &request);
    block->busy = true; /* from here on it is the answer's to say, on another thread */
    error = sl_http_send(azure->http, &request, block_done, block);
    if (error != NULL) {
        block->busy = false;
    }
    return error;
}

/* ---- the writer ---- */

static void writer_free(azure_writer *writer) {
    sl_error_free(wait_for_blocks(writer));
    for (size_t i = 0; i < AZURE_BLOCKS_AT_A_TIME; i++) {
        free(writer->blocks[i].url);
        sl_buffer_free(&writer->blocks[i].bytes);
    }
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    sl_buffer_free(&writer->filling);
    free(writer->path);
    free(writer);
}

sl_error *sl_azure_writer_open(sl_store *store, const char *path, unsigned flags,
                               sl_store_writer **out) {
    azure_store *azure = (azure_store *)store;
    sl_error *error = sl_store_check_path(azure->url, path);
    if (error == NULL) {
        error = sl_azure_may_write(azure, "write", path);
    }
    if (error != NULL) {
        return error;
    }
    azure_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return sl_error_no_memory();
    }
    writer->base.store = store;
    writer->flags = flags;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->changed, NULL);
    writer->path = strdup(path);
    error = writer->path == NULL ? sl_error_no_memory() : sl_azure_random(writer->mark);
    if (error != NULL) {
        writer_free(writer);
        return error;
    }
    *out = &writer->base;
    return NULL;
}

sl_error *sl_azure_writer_write(sl_store_writer *base, const void *data, size_t bytes) {
    azure_writer *writer = (azure_writer *)base;
    const uint8_t *from = data;
    while (bytes > 0) {
        if (writer->filling.bytes == AZURE_BLOCK_BYTES) {
            sl_error *error = send_block(writer);
            if (error != NULL) {
                return error;
            }
        }
        size_t room = AZURE_BLOCK_BYTES - writer->filling.bytes;
        size_t part = bytes < room ? bytes : room;
        if (!sl_buffer_append(&writer->filling, from, part)) {
            return sl_error_no_memory();
        }
        from += part;
        bytes -= part;
    }
    return NULL;
}

static sl_error *put_list(azure_writer *writer) {
    sl_buffer xml = SL_BUFFER_INIT;
    sl_buffer_append_text(&xml, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for (size_t i = 0; i < writer->n_blocks; i++) {
        char id[BLOCK_ID_CHARS + 1];
        block_id(writer, i, id);
        /* "Latest" finds the block also when a repeated put finds it committed */
        sl_buffer_printf(&xml, "<Latest>%s</Latest>", id);
    }
    sl_buffer_append_text(&xml, "</BlockList>");
    sl_error *error = sl_error_no_memory();
    if (!xml.failed) {
        azure_call call = {.method = "PUT",
                           .action = "write",
                           .path = writer->path,
                           .query = "comp=blocklist",
                           .body = xml.data,
                           .body_bytes = xml.bytes};
        error =
            put_whole((const azure_store *)writer->base.store, &call, writer->mark, writer->flags);
    }
    sl_buffer_free(&xml);
    return error;
}

sl_error *sl_azure_writer_commit(sl_store_writer *base) {
    azure_writer *writer = (azure_writer *)base;
    const azure_store *azure = (const azure_store *)base->store;
    sl_error *error = NULL;
    if (writer->n_blocks == 0) {
        azure_call call = {.method = "PUT",
                           .action = "write",
                           .path = writer->path,
                           .body = writer->filling.data,
                           .body_bytes = writer->filling.bytes};
        sl_azure_header(&call, "x-ms-blob-type", "BlockBlob");
        error = put_whole(azure, &call, writer->mark, writer->flags);
    } else {
        error = writer->filling.bytes > 0 ? send_block(writer) : NULL;
        sl_error *of_blocks = wait_for_blocks(writer);
        if (error == NULL) {
            error = of_blocks;
        } else {
            sl_error_free(of_blocks);
        }
        if (error == NULL) {
            error = put_list(writer);
        }
    }
    writer_free(writer);
    return error;
}

void sl_azure_writer_abort(sl_store_writer *base) {
    writer_free((azure_writer *)base); /* blocks without a list are gone after a week */
}
