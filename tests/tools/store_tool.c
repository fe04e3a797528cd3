/*
 * lib/store for tests in other languages: reads commands, one a line, and answers each with one
 * line, "ok ..." or "CLASS message".
 *
 *   store_tool URL [KEY [TIMEOUT_MS]]   (KEY: of the account, for Azure; TIMEOUT_MS: of an attempt)
 *
 *   put PATH BYTES SEED [absent]           content is a function of the seed, see byte_of
 *   write PATH BYTES SEED CHUNK [absent]   the same by a writer, CHUNK bytes at a time
 *   abort PATH BYTES SEED                  a writer that is given up
 *   get PATH OFFSET LENGTH                 ok BYTES CRC32
 *   many LENGTH PATH...                    ok BYTES CRC32 ..., of those before the first error
 *   stat PATH                              ok BYTES MODIFIED_MS
 *   list PREFIX AFTER RECURSIVE            ok PATH:BYTES ...   ("-" stands for an empty text)
 *   remove PATH
 */
#include "http_loop_poll.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "store/store.h"

enum { MAX_WORDS = 48 };

static sl_store *store;

static uint8_t byte_of(size_t i, unsigned seed) {
    return (uint8_t)(i * 7 + i / 251 + seed * 31);
}

static uint8_t *content(size_t bytes, unsigned seed) {
    uint8_t *data = malloc(bytes + 1);
    for (size_t i = 0; data != NULL && i < bytes; i++) {
        data[i] = byte_of(i, seed);
    }
    return data;
}

static const char *text_of(const char *word) {
    return strcmp(word, "-") == 0 ? "" : word;
}

static sl_error *write_chunks(const char *path, size_t bytes, unsigned seed, size_t chunk,
                              unsigned flags, bool commit) {
    uint8_t *data = content(bytes, seed);
    sl_store_writer *writer = NULL;
    sl_error *error =
        data == NULL ? sl_error_no_memory() : store->ops->writer_open(store, path, flags, &writer);
    if (error == NULL) {
        for (size_t at = 0; at < bytes && error == NULL; at += chunk) {
            size_t part = bytes - at < chunk ? bytes - at : chunk;
            error = store->ops->writer_write(writer, data + at, part);
        }
        if (error != NULL || !commit) {
            store->ops->writer_abort(writer);
        } else {
            error = store->ops->writer_commit(writer);
        }
    }
    free(data);
    return error;
}

static sl_error *put(const char *path, size_t bytes, unsigned seed, unsigned flags) {
    uint8_t *data = content(bytes, seed);
    sl_error *error =
        data == NULL ? sl_error_no_memory() : store->ops->put(store, path, data, bytes, flags);
    free(data);
    return error;
}

static sl_error *get(const char *path, int64_t offset, int64_t length) {
    sl_store_bytes bytes = {0};
    sl_error *error = store->ops->get(store, path, offset, length, &bytes);
    if (error == NULL) {
        printf("ok %zu %08lx\n", bytes.bytes,
               crc32_z(0, bytes.data != NULL ? bytes.data : (const uint8_t *)"", bytes.bytes));
        bytes.release(&bytes);
    }
    return error;
}

/* The error's class stands behind what was read. */
static sl_error *many(int64_t length, const char *const *paths, size_t n) {
    sl_store_bytes bytes[MAX_WORDS];
    size_t n_read = 0;
    sl_error *error = sl_store_get_all(store, paths, n, length, bytes, &n_read);
    printf("ok");
    for (size_t i = 0; i < n_read; i++) {
        printf(" %zu %08lx", bytes[i].bytes,
               crc32_z(0, bytes[i].data != NULL ? bytes[i].data : (const uint8_t *)"",
                       bytes[i].bytes));
        bytes[i].release(&bytes[i]);
    }
    printf(" %s\n", error == NULL ? "all" : sl_error_class_name(sl_error_get_class(error)));
    sl_error_free(error);
    return NULL;
}

static sl_error *stat_one(const char *path) {
    sl_store_entry entry = {0};
    sl_error *error = store->ops->stat(store, path, &entry);
    if (error == NULL) {
        printf("ok %" PRId64 " %" PRId64 "\n", entry.bytes, entry.modified_ms);
    }
    return error;
}

static int visit(const sl_store_entry *entry, void *arg) {
    sl_buffer_printf(arg, " %s:%" PRId64, entry->path, entry->bytes);
    return 0;
}

static sl_error *list(const char *prefix, const char *after, int recursive) {
    sl_buffer found = SL_BUFFER_INIT;
    sl_error *error = store->ops->list(store, text_of(prefix), after[0] == '-' ? NULL : after,
                                       recursive, visit, &found);
    if (error == NULL) {
        printf("ok%s\n", found.bytes > 0 ? sl_buffer_text(&found) : "");
    }
    sl_buffer_free(&found);
    return error;
}

/* Runs one line; `words` are its parts. Commands that say more than "ok" have said it. */
static sl_error *run(char **words, size_t n, bool *said) {
    const char *command = words[0];
    unsigned flags = strcmp(words[n - 1], "absent") == 0 ? SL_STORE_IF_ABSENT : 0;
    size_t bytes = n > 2 ? strtoull(words[2], NULL, 10) : 0;
    unsigned seed = n > 3 ? (unsigned)strtoul(words[3], NULL, 10) : 0;
    *said = true;
    if (strcmp(command, "get") == 0 && n == 4) {
        return get(words[1], strtoll(words[2], NULL, 10), strtoll(words[3], NULL, 10));
    }
    if (strcmp(command, "many") == 0 && n > 2) {
        return many(strtoll(words[1], NULL, 10), (const char *const *)words + 2, n - 2);
    }
    if (strcmp(command, "stat") == 0 && n == 2) {
        return stat_one(words[1]);
    }
    if (strcmp(command, "list") == 0 && n == 4) {
        return list(words[1], words[2], atoi(words[3]));
    }
    *said = false;
    if (strcmp(command, "put") == 0 && n >= 4) {
        return put(words[1], bytes, seed, flags);
    }
    if (strcmp(command, "write") == 0 && n >= 5) {
        return write_chunks(words[1], bytes, seed, strtoull(words[4], NULL, 10), flags, true);
    }
    if (strcmp(command, "abort") == 0 && n == 4) {
        return write_chunks(words[1], bytes, seed, bytes, 0, false);
    }
    if (strcmp(command, "remove") == 0 && n == 2) {
        return store->ops->remove(store, words[1]);
    }
    return sl_error_new(SL_ERROR_CONFIG, "no such command");
}

static void serve(void) {
    char line[4096];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *words[MAX_WORDS] = {0};
        size_t n = 0;
        for (char *at = strtok(line, " \n"); at != NULL && n < MAX_WORDS;
             at = strtok(NULL, " \n")) {
            words[n++] = at;
        }
        bool said = false;
        sl_error *error = n == 0 ? NULL : run(words, n, &said);
        if (error != NULL) {
            printf("%s %s\n", sl_error_class_name(sl_error_get_class(error)),
                   sl_error_message(error));
        } else if (!said) {
            printf("ok\n");
        }
        sl_error_free(error);
        fflush(stdout);
    }
}

static void close_http(void *arg) {
    sl_http_close(arg);
}

static sl_error *open_remote(const char *url, const char *key, uint32_t timeout_ms,
                             struct poll_loop *loop, sl_store_options *options) {
    sl_http_loop table = poll_loop_table(loop);
    sl_http_options http = {.timeout_ms = timeout_ms, .retry_timeout_ms = 60000};
    sl_error *error = sl_http_open(&table, &http, &options->http);
    return error != NULL || key == NULL ? error
                                        : sl_store_shared_key_auth(url, key, &options->auth);
}

int main(int argc, char **argv) {
    struct poll_loop loop;
    pthread_t thread;
    sl_store_options options = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: see the head of tests/tools/store_tool.c\n");
        return 2;
    }
    poll_loop_init(&loop);
    sl_error *error = NULL;
    bool remote = sl_store_is_remote(argv[1]);
    if (remote) {
        uint32_t timeout_ms = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
        error = open_remote(argv[1], argc > 2 ? argv[2] : NULL, timeout_ms, &loop, &options);
    }
    if (error == NULL) {
        error = sl_store_open(argv[1], &options, &store);
    }
    if (error != NULL) {
        fprintf(stderr, "%s\n", sl_error_message(error));
        return 1;
    }
    pthread_create(&thread, NULL, poll_loop_main, &loop);
    serve();
    store->ops->close(store);
    if (remote) {
        sl_error_free(poll_loop_post(&loop, close_http, options.http));
    }
    sl_error_free(poll_loop_post(&loop, poll_loop_stop, &loop));
    pthread_join(thread, NULL);
    sl_http_auth_close(options.auth);
    poll_loop_free(&loop);
    return 0;
}
