/*
 * A change of the running topology's document, the one way for all routes: it is loaded and
 * planned; the file that sluice was started with is made beside itself; the host reloads; the file
 * is replaced and the history told; then the request is answered. One at a time.
 */
#ifndef ADMIN_REVISION_H
#define ADMIN_REVISION_H

#include "admin/exchange.h"
#include "host/targets.h"
#include "topology/document.h"

struct topology_plan;
struct topology_faults;

/* What has come of it, for the answer. Borrowed. */
struct revision_result {
    const struct topology_plan *plan;
    const struct topology_faults *warnings;
    bool applied;    /* false: a dry run */
    int64_t version; /* in the history; 0: there is none */
    const char *node;
    bool is_new; /* `node` was not there before */
};

struct revision_order {
    struct json_value *document; /* the next one; "***" stands for secrets that are kept */
    const char *text;            /* how it was written; NULL: it is to be printed */
    size_t text_bytes;
    bool dry_run;
    bool for_connect;   /* faults and refusals in Kafka Connect's words */
    const char *node;   /* that the order is about; NULL: none */
    enum target target; /* what is wanted of it, if it is new */
    /* Fills the answer of a change that was accepted. */
    void (*answer)(struct exchange *exchange, const struct revision_result *result);
};

/*
 * Begins a change and takes care that the exchange is answered, now or later; the order's document
 * and texts are needed no longer than this call. Control loop.
 */
void revision_begin(struct exchange *exchange, const struct revision_order *order);

#endif /* ADMIN_REVISION_H */
