/*
 * The parts of the Azure Blob store, shared between its files: no public interface.
 *
 * Everything goes over the Blob endpoint, also for abfss:// URLs: it works on flat and on
 * hierarchical accounts and on Azurite, and a blob made over one endpoint must not be written over
 * the other. Written from the REST reference of Blob Storage, version AZURE_VERSION.
 */
#ifndef SL_STORE_AZURE_H
#define SL_STORE_AZURE_H

#include "http/http.h"

#include "store/store.h"

#define AZURE_VERSION "2021-12-02"
/* A blob up to one block is put by one request; a longer one by blocks, some of them at a time. */
#define AZURE_BLOCK_BYTES ((size_t)8 << 20)
#define AZURE_BLOCKS_AT_A_TIME 4
#define AZURE_MAX_BLOCKS 50000
/* Marks each of our puts, so that one whose answer was lost is known again. */
#define AZURE_TOKEN_HEADER "x-ms-meta-sluice"
#define AZURE_TOKEN_CHARS 32

/* What a URL names. Strings are owned. */
typedef struct azure_place {
    char
        *container_url; /* "https://account.blob.core.windows.net/container", no slash at its end */
    char *account;
    char *container;
    char *root; /* "" or "folder/sub/", plain text */
} azure_place;

typedef struct azure_store {
    sl_store base;
    bool read_only;
    sl_http *http;
    sl_http_auth *auth; /* NULL: none */
    char *sas;          /* "sv=...&sig=..."; NULL: none */
    char *url;          /* as it was given, without credentials */
    azure_place place;
} azure_store;

/* True for abfss://, abfs://, wasbs:// and http(s)://. */
bool sl_azure_is_url(const char *url);
/* Errors: CONFIG, NO_MEMORY. */
sl_error *sl_azure_place_parse(const char *url, azure_place *out);
void sl_azure_place_free(azure_place *place);
/* Only the account, for a URL that may end behind it. *out is to be freed. Errors as above. */
sl_error *sl_azure_account(const char *url, char **out);

/* One request to a blob (path NULL: to the container). */
typedef struct azure_call {
    const char *method;
    const char *action; /* for messages: "write" */
    const char *path;   /* below the store's root */
    const char *query;  /* "comp=block&blockid=..."; NULL: none */
    sl_http_header headers[8];
    size_t n_headers;
    const void *body;
    size_t body_bytes;
} azure_call;

void sl_azure_header(azure_call *call, const char *name, const char *value);
/* The URL of the call, with the SAS. To be freed. */
sl_error *sl_azure_url(const azure_store *azure, const azure_call *call, char **out);
/* Fills `request` from the call; `url` stays the caller's. */
void sl_azure_request(const azure_store *azure, const azure_call *call, const char *url,
                      sl_http_request *request);
/* Sends and waits; any status is success. *out is the caller's. */
sl_error *sl_azure_answer(const azure_store *azure, const azure_call *call, sl_http_answer *out);
/* Sends and waits. Only a status of 2xx is success; *out is the caller's then. */
sl_error *sl_azure_perform(const azure_store *azure, const azure_call *call, sl_http_answer *out);
/* FATAL when the store is read-only. */
sl_error *sl_azure_may_write(const azure_store *azure, const char *action, const char *path);
/* The error of an answer that is no success: NOT_FOUND, EXISTS, RETRIABLE, FATAL, CONFIG. */
sl_error *sl_azure_error(const azure_store *azure, const azure_call *call,
                         const sl_http_response *response);

/* The bytes of an answer to GET, moved to *out; a range beyond the end is empty. Errors: those of
 * an answer that is no success, NO_MEMORY. */
sl_error *sl_azure_take_body(const azure_store *azure, const azure_call *call,
                             sl_http_answer *answer, sl_store_bytes *out);

/* azure_many.c */
sl_error *sl_azure_get_all(sl_store *store, const char *const *paths, size_t n, int64_t length,
                           sl_store_bytes *out, size_t *n_read);
/* azure_write.c */
sl_error *sl_azure_put(sl_store *store, const char *path, const void *data, size_t bytes,
                       unsigned flags);
sl_error *sl_azure_writer_open(sl_store *store, const char *path, unsigned flags,
                               sl_store_writer **out);
sl_error *sl_azure_writer_write(sl_store_writer *writer, const void *data, size_t bytes);
sl_error *sl_azure_writer_commit(sl_store_writer *writer);
void sl_azure_writer_abort(sl_store_writer *writer);
/* azure_list.c */
sl_error *sl_azure_list(sl_store *store, const char *prefix, const char *start_after, int recursive,
                        sl_store_visit visit, void *arg);

/* azure_text.c */
/* Base64 of the MD5 of the bytes, 24 characters. Errors: FATAL (no MD5 here), NO_MEMORY. */
sl_error *sl_azure_md5(const void *data, size_t bytes, char out[25]);
/* 32 random hex digits. */
sl_error *sl_azure_random(char out[AZURE_TOKEN_CHARS + 1]);
/* An HTTP date (RFC 9110, 5.6.7) as Unix ms; 0 when it is none. */
int64_t sl_azure_date_ms(const char *text, size_t bytes);

#endif /* SL_STORE_AZURE_H */
