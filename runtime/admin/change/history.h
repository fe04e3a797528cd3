/*
 * The history of a topology in its state store: history/<20 digits>.json, one for each change that
 * was tried, with the document as it may be shown (topology/hidden.h). All of this blocks.
 */
#ifndef ADMIN_HISTORY_H
#define ADMIN_HISTORY_H

#include "report/json_out.h"
#include "topology/document.h"
#include "topology/topology.h"

struct network;

/* What an entry tells; texts are borrowed. */
struct history_entry {
    const char *who;
    const char *peer;
    const char *what;   /* "PUT /v1/topology" */
    const char *result; /* "applied", or why not */
    const char *plan;   /* JSON; NULL: nothing was planned */
    const struct json_value *document;
};

/*
 * Adds an entry; before it, when the last one that was applied holds another document than
 * `before`, that document, since somebody has changed the file by hand. *number is the entry's; 0:
 * the topology has no state store. Errors: the store's.
 */
sl_error *history_add(const struct topology *topology, struct network *network,
                      const struct json_value *before, const struct history_entry *entry,
                      int64_t *number);

/* Writes an array of the last `limit` entries, the newest first, without their documents and plans.
 * Errors: the store's, CORRUPT. */
sl_error *history_list(const struct topology *topology, struct network *network, size_t limit,
                       struct json_out *out);

/* An entry's text, parsed; NULL when it is none, or memory is short. */
struct json_value *history_parse(struct arena *arena, const sl_buffer *text);
/* The entry's text; it is an object. Errors: NOT_FOUND (there is none), the store's. */
sl_error *history_get(const struct topology *topology, struct network *network, int64_t number,
                      sl_buffer *out);

#endif /* ADMIN_HISTORY_H */
