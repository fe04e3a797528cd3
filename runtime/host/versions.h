/*
 * Texts in a store of which each replaces the one before: FOLDER/<20 digits>.json, put if absent
 * under the next number. Everything here blocks.
 */
#ifndef HOST_VERSIONS_H
#define HOST_VERSIONS_H

#include "base/base.h"
#include "store/store.h"

/* The number of the last one; 0: there is none. `folder` ends with a slash. Errors: the store's. */
sl_error *versions_last(sl_store *store, const char *folder, int64_t *number);
/* Appends one's text. `where` (may be NULL) receives its URL. Errors: the store's, NO_MEMORY. */
sl_error *versions_get(sl_store *store, const char *folder, int64_t number, sl_buffer *out,
                       char *where, size_t where_bytes);
/* Whether there is one of this number. Errors: the store's. */
sl_error *versions_has(sl_store *store, const char *folder, int64_t number, bool *has);
/* Errors: EXISTS (somebody has put one of this number), the store's, NO_MEMORY. */
sl_error *versions_put(sl_store *store, const char *folder, int64_t number, const sl_buffer *text);
/* Removes one that nobody reads any more. Errors: the store's. */
sl_error *versions_remove(sl_store *store, const char *folder, int64_t number);

#endif /* HOST_VERSIONS_H */
