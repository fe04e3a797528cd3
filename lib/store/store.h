/*
 * store: implementations of the interface sluice/store.h. A POSIX folder, a container of Azure Blob
 * Storage (ADLS Gen2), and a store in memory that fails on demand for tests. The host and tests
 * open stores; plugins and lib/delta only know the interface.
 */
#ifndef SL_STORE_STORE_H
#define SL_STORE_STORE_H

#include "http/http.h"

#include <stdbool.h>

#include "base/base.h"
#include "sluice/store.h"

typedef struct sl_store_options {
    bool read_only; /* every change is refused (FATAL): for validation and inspection */
    /* Azure only. The client and the authorization must outlive the store. */
    sl_http *http;
    sl_http_auth *auth; /* NULL: none, or a SAS */
    const char *sas;    /* a shared access signature, "sv=...&sig=..."; NULL: none */
} sl_store_options;

/*
 * Opens the store that `url` names: "file:///folder" (percent-encoded), a plain path, or a URL of
 * Azure (azure_place.c has the forms). Does no I/O: a folder is made by the first write, a
 * container must exist. `options` may be NULL. On success *out is the caller's (out->ops->close).
 * Errors: CONFIG (not a URL of a kind we have), NO_MEMORY.
 */
sl_error *sl_store_open(const char *url, const sl_store_options *options, sl_store **out);

/* CONFIG unless sl_store_open knows what to do with the URL, whatever its options. No I/O. */
sl_error *sl_store_check_url(const char *url);
/* Whether it is a URL of Azure: one that needs http, and authorization. */
bool sl_store_is_remote(const char *url);
/*
 * SharedKey authorization for the account that `url` names; `key` is base64. End it by
 * sl_http_auth_close. Errors: CONFIG, NO_MEMORY.
 */
sl_error *sl_store_shared_key_auth(const char *url, const char *key, sl_http_auth **out);

/* CONFIG unless `path` is one that sluice/store.h allows; `url` is for the message. */
sl_error *sl_store_check_path(const char *url, const char *path);
/* The same for the prefix of a listing: "" or a path that ends in '/'. */
sl_error *sl_store_check_prefix(const char *url, const char *prefix);

/* ---- memory (memory.c): for tests ---- */

typedef enum sl_store_op {
    SL_STORE_OP_PUT,
    SL_STORE_OP_GET,
    SL_STORE_OP_STAT,
    SL_STORE_OP_LIST,
    SL_STORE_OP_REMOVE,
    SL_STORE_OP_WRITER_OPEN,
    SL_STORE_OP_WRITER_WRITE,
    SL_STORE_OP_WRITER_COMMIT,
    SL_STORE_OPS
} sl_store_op;

typedef enum sl_store_fault {
    SL_STORE_FAULT_BEFORE, /* the operation does nothing and fails */
    SL_STORE_FAULT_AFTER   /* it takes effect, but the answer is an error (a lost answer) */
} sl_store_fault;

/* A store in memory, any thread. Error: NO_MEMORY. */
sl_error *sl_store_open_memory(sl_store **out);

/*
 * The nth call (1: the next) of `op` whose path holds `path_part` (NULL: any) fails with
 * `error_class`. One fault for each kind of operation; n 0 takes it back.
 */
void sl_store_memory_fail(sl_store *store, sl_store_op op, const char *path_part, int64_t n,
                          sl_store_fault fault, sl_error_class error_class);
/* Calls of `op` so far. */
int64_t sl_store_memory_calls(const sl_store *store, sl_store_op op);
/* Called before the next operation `op` on a path that holds `path_part`, outside the store's lock,
 * once: what another process does at that moment. */
void sl_store_memory_hook(sl_store *store, sl_store_op op, const char *path_part,
                          void (*hook)(void *arg), void *arg);

#endif /* SL_STORE_STORE_H */
