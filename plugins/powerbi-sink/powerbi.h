/*
 * powerbi-sink: rows into a table of a Power BI push dataset, within the published limits. Lanes
 * make JSON rows (task.c, rows.c), the node finds or makes the dataset (dataset.c) and posts at
 * each commit (node.c), as fast as the limits let it (limits.c).
 */
#ifndef POWERBI_SINK_H
#define POWERBI_SINK_H

#include "limits.h"

#include <stdbool.h>

#include "base/base.h"
#include "columns/columns.h"
#include "columns/replayed.h"
#include "sluice/plugin.h"

/* Of Microsoft's page "Push semantic model limitations". */
#define POWERBI_MAX_COLUMNS 75
#define POWERBI_POST_ROWS 10000
#define POWERBI_POST_BYTES ((size_t)15 << 20) /* of 16 MB, less the frame */
#define POWERBI_STRING_CHARACTERS 4000

enum powerbi_retention { POWERBI_BASIC_FIFO, POWERBI_RETAIN_ALL };

struct powerbi_config {
    const char *dataset;
    const char *table;
    const char *workspace; /* NULL: My workspace */
    int32_t retention;     /* enum powerbi_retention */
    int32_t coalesce;
    sl_list key;
    const char *endpoint;
    int32_t auth; /* sl_credential_kind */
    sl_credential_options login;
    const char *scope;
};

/* Rows as JSON objects with commas between, as many as one POST may hold. */
struct powerbi_rows {
    struct powerbi_rows *next;
    sl_buffer json;
    int32_t rows;
};

/* Ends a list; NULL is allowed. A task's flush hands one over as its piece. */
void powerbi_rows_free(struct powerbi_rows *head);

struct sl_node {
    const sl_services *services;
    sl_object *self;
    const struct powerbi_config *config;
    const struct ArrowSchema *schema;
    const char *name;
    sl_list key;     /* names of columns; coalesce */
    char *key_names; /* what they are in, when the input declares them */
    const char **key_items;
    sl_http_auth *auth;
    char *base;     /* "https://api.powerbi.com/v1.0/myorg/groups/…", no slash at its end */
    char *rows_url; /* once the dataset is there */
    struct powerbi_limits limits;
    void (*opened)(sl_node *node, sl_error *error);
    /* the request of start or commit under way */
    sl_request *request;
    const sl_commit *commit;
    struct powerbi_rows *posting; /* merged from the pieces; those that were accepted are gone */
    sl_buffer body;
    sl_timer *timer;
    sl_metric *posted;
    sl_metric *posts;
    sl_metric *throttled;
    sl_metric *waited_ms;
};

struct powerbi_coalesced;

struct sl_task {
    sl_node *node;
    const sl_services *services;
    sl_object *self;
    struct powerbi_rows *first;
    struct powerbi_rows *last;
    int64_t rows;
    size_t bytes;
    bool paused;
    sl_replayed replayed;
    struct powerbi_coalesced *newest; /* NULL: every row is sent */
};

extern const sl_node_ops powerbi_node_ops;
extern const sl_task_ops powerbi_task_ops;

/* ---- rows.c ---- */

/* CONFIG when a column has no type in Power BI, or there are too many. */
sl_error *powerbi_check_columns(const struct ArrowSchema *schema);
/* "Int64", "Double", "Boolean", "DateTime", "Decimal", "String"; NULL: none. */
const char *powerbi_type(const struct ArrowSchema *column);
/* A value that the published rules do not let into a dataset; its texts are static or the schema's.
 */
struct powerbi_fault {
    const char *column;
    const char *reason; /* "too_long", "number", "date" */
    const char *detail;
};
/* Whether the row has one; `fault` then gets the first. */
bool powerbi_row_is_at_fault(const struct ArrowSchema *schema, const struct ArrowArray *columns,
                             int64_t row, struct powerbi_fault *fault);
/* Appends one row's JSON to the end of a list, which begins a new POST when one is full. `head` and
 * `last` may be NULL together. False when memory is short. */
bool powerbi_rows_append(struct powerbi_rows **head, struct powerbi_rows **last,
                         const uint8_t *json, size_t bytes);
/* Joins what follows each other and fits one POST. */
void powerbi_rows_merge(struct powerbi_rows *head);

/* The newest row of each key. */
struct powerbi_coalesced *powerbi_coalesced_new(void);
void powerbi_coalesced_free(struct powerbi_coalesced *newest);
/* Takes a row in place of the last one of its key; false when memory is short. *bytes is changed by
 * what is held more or less, *added is 1 when the key is new. */
bool powerbi_coalesced_put(struct powerbi_coalesced *newest, const sl_buffer *key,
                           const sl_buffer *json, size_t *bytes, int64_t *added);
/* Moves all rows, oldest keys first, to the end of a list; false when memory is short, and then
 * nothing has moved. */
bool powerbi_coalesced_take(struct powerbi_coalesced *newest, struct powerbi_rows **head,
                            struct powerbi_rows **last);

/* ---- dataset.c ---- */

/* Finds the dataset by name or makes it, then calls done(node, error) once on the node's loop. */
void powerbi_dataset_open(sl_node *node, void (*done)(sl_node *node, sl_error *error));
/* The error of an answer that is no success. `what`: "cannot post rows to". */
sl_error *powerbi_refused(const sl_node *node, const char *what, const sl_http_response *response);
/* A request of the node's; url, headers and body are borrowed until `send` returns, body until the
 * answer. */
sl_error *powerbi_send(sl_node *node, const char *method, const char *url, const sl_buffer *body,
                       uint32_t max_attempts,
                       void (*done)(void *arg, const sl_http_response *response, sl_error *error));

#endif /* POWERBI_SINK_H */
