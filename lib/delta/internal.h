/*
 * What the files of lib/delta share: the table handle, actions, and the functions between its
 * parts. No public interface; tests may look inside.
 */
#ifndef SL_DELTA_INTERNAL_H
#define SL_DELTA_INTERNAL_H

#include "delta/delta.h"
#include "delta/json.h"
#include "delta/map.h"

#define DELTA_LOG "_delta_log/"
#define DELTA_LAST_CHECKPOINT DELTA_LOG "_last_checkpoint"
#define DELTA_PATH_BYTES 80 /* of a path in the log folder */

/* ---- lists of texts and pairs ---- */

typedef struct delta_texts {
    char **items;
    size_t n;
} delta_texts;

typedef struct delta_pairs {
    char **keys;
    char **values; /* an item may be NULL */
    size_t n;
} delta_pairs;

sl_error *delta_texts_add(delta_texts *texts, const char *text, size_t bytes);
void delta_texts_free(delta_texts *texts);
/* `value` may be NULL. Replaces the value of a key that is there. */
sl_error *delta_pairs_set(delta_pairs *pairs, const char *key, const char *value);
const char *delta_pairs_get(const delta_pairs *pairs, const char *key);
void delta_pairs_free(delta_pairs *pairs);

/* ---- actions (action.c, action_write.c) ---- */

typedef struct delta_protocol {
    int32_t min_reader;
    int32_t min_writer;
    delta_texts reader_features; /* with min_reader 3 */
    delta_texts writer_features; /* with min_writer 7 */
} delta_protocol;

typedef struct delta_metadata {
    char *id;
    char *name;
    char *description;
    char *provider;
    delta_pairs format_options;
    char *schema_string;
    delta_texts partition_columns;
    delta_pairs configuration;
    int64_t created_ms; /* -1: not said */
} delta_metadata;

typedef struct delta_txn {
    char *app_id; /* first: the key of a map */
    int64_t version;
    int64_t last_updated_ms; /* -1: not said, so it never expires */
} delta_txn;

/* A file of the log since the checkpoint: its last add, or that it was removed. */
typedef struct delta_entry {
    char *path; /* first: the key of a map; file.path is the same pointer */
    sl_delta_file file;
    bool removed;
    int64_t deleted_ms; /* of a removed one */
} delta_entry;

typedef struct delta_domain {
    char *name; /* first: the key of a map */
    char *configuration;
    bool removed;
} delta_domain;

typedef enum delta_kind {
    DELTA_ADD,
    DELTA_REMOVE,
    DELTA_TXN,
    DELTA_METADATA,
    DELTA_PROTOCOL,
    DELTA_DOMAIN,
    DELTA_COMMIT_INFO,
    DELTA_OTHER /* cdc, checkpointMetadata, unknown: nothing of the snapshot */
} delta_kind;

/* One action, owned. */
typedef struct delta_action {
    delta_kind kind;
    sl_delta_file file; /* ADD, REMOVE */
    int64_t deleted_ms; /* REMOVE */
    delta_txn txn;
    delta_metadata metadata;
    delta_protocol protocol;
    delta_domain domain;
    char *token;                    /* COMMIT_INFO: txnId; NULL when absent */
    int64_t in_commit_timestamp_ms; /* COMMIT_INFO; -1: none */
} delta_action;

/* Parses one line of a log entry. `partition_columns` orders partition values. */
sl_error *delta_action_parse(const char *line, size_t bytes, const delta_texts *partition_columns,
                             delta_action *out);
/* "numRecords" of statistics (may be NULL) without parsing all of them; -1: not there. */
int64_t delta_stats_rows(const char *stats);
void delta_action_clear(delta_action *action);
void delta_protocol_clear(delta_protocol *protocol);
void delta_metadata_clear(delta_metadata *metadata);
void delta_txn_free(void *txn);
void delta_entry_free(void *entry);
void delta_domain_free(void *domain);

/* Each appends one line with its newline. */
bool delta_write_protocol(sl_buffer *out, const delta_protocol *protocol);
bool delta_write_metadata(sl_buffer *out, const delta_metadata *metadata);
bool delta_write_add(sl_buffer *out, const sl_delta_file *file, const delta_texts *columns,
                     bool data_change);
bool delta_write_remove(sl_buffer *out, const sl_delta_file *file, const delta_texts *columns,
                        int64_t deleted_ms, bool data_change);
bool delta_write_txn(sl_buffer *out, const char *app_id, int64_t version);
/* The tags of an add: those of `file` and the tail owner's, as a JSON object; false: no memory. */
bool delta_write_tags(sl_buffer *out, const sl_delta_file *file);

/* ---- paths (uri.c) ---- */

/*
 * The file's path as the log spells it: RFC 2396 percent-encoding, or as the writer of its add did.
 * Writers differ in what they leave as it is, and readers compare what is written: a remove that
 * was spelt in another way would leave the file live to them.
 */
bool delta_uri_append(sl_buffer *out, const sl_delta_file *file);
/* Sets the file's path from the log's spelling. A '%' without two hex digits stays. NO_MEMORY. */
sl_error *delta_uri_take(const char *uri, sl_delta_file *file);
/* "column=value/" with what a folder's name cannot hold escaped as Hive does it. */
bool delta_hive_folder(sl_buffer *out, const char *column, const char *value);

/* ---- schema (schema_json.c) ---- */

/* Arrow metadata key under which a field's Delta metadata (a JSON object) stands. */
#define DELTA_FIELD_METADATA "delta.metadata"

sl_error *delta_schema_parse(const char *schema_string, struct ArrowSchema *out);
sl_error *delta_schema_write(const struct ArrowSchema *schema, sl_buffer *out);

/* ---- protocol (protocol.c) ---- */

sl_error *delta_protocol_check_read(const delta_protocol *protocol, const char *url);
sl_error *delta_protocol_check_write(const sl_delta_table *table);

/* ---- values as text (value_text.c) ---- */

/* "2024-02-29"; false when the year is not 1 to 9999. `out` has room for 32 bytes. */
bool delta_date_text(int64_t days, char *out);
/* "2024-02-29T12:34:56.123" + suffix ("Z" or ""), with six digits when `micros`. */
bool delta_timestamp_text(int64_t us, bool micros, const char *suffix, char *out);
/* A decimal128 (16 bytes, little-endian) as plain digits; `out` has room for 64 bytes. */
void delta_decimal_text(const uint8_t *value, int32_t scale, char *out);
/* Shortest text that reads back as the same double (float when `single`); `out` has room for
 * DELTA_DOUBLE_TEXT_BYTES. */
enum { DELTA_DOUBLE_TEXT_BYTES = 40 };
void delta_double_text(double value, bool single, char *out);

/* ---- table ---- */

#define DELTA_CLEAN_INTERVAL_MS (INT64_C(3600) * 1000)
#define DELTA_FIRST_CLEAN_MS (INT64_C(600) * 1000)

struct sl_delta_table {
    sl_store *store;
    const char *url; /* the store's */
    int64_t version; /* -1 while nothing is read */
    delta_protocol protocol;
    delta_metadata metadata;
    struct ArrowSchema schema;  /* release NULL until a metaData was read */
    delta_map txns;             /* delta_txn */
    delta_map domains;          /* delta_domain */
    delta_map entries;          /* delta_entry: since the checkpoint */
    int64_t checkpoint_version; /* -1: none, `entries` has all */
    int64_t checkpoint_parts;   /* 0: the single file without part numbers */
    int64_t checkpoint_bytes;   /* of the single file, just after a listing; -1: not known */
    int64_t checkpoint_actions;
    int64_t in_commit_timestamp_ms; /* of the newest version; -1: none */
    int64_t seen_us;                /* monotonic: when `version` was known to be the newest */
    int64_t cleaned_ms;             /* Unix time of the last clean-up */
    bool broken;                    /* an apply failed half-way: only close may follow */
};

/* A handle that has not looked for longer lists the log before it trusts that the next version is
 * free: the entry may have been made and cleaned up meanwhile, and put-if-absent would make it
 * again. */
#define DELTA_STALE_US (INT64_C(10) * 60 * 1000000)

/* What versions that a refresh read have done, for the conflict rules. */
typedef struct delta_changes {
    const char *token;     /* looked for; NULL: nothing */
    int64_t token_version; /* where it was found; -1 */
    bool metadata;
    bool protocol;
    bool added;    /* files with dataChange */
    bool reloaded; /* the snapshot was read anew: everything may have changed */
} delta_changes;

bool delta_is_partition(const sl_delta_table *table, const char *column);
/* A value of the table's configuration, NULL when not set. */
const char *delta_configuration(const sl_delta_table *table, const char *key);
/* "interval 1 days" in ms; `fallback_ms` when not set or not understood. */
int64_t delta_interval_ms(const sl_delta_table *table, const char *key, int64_t fallback_ms);

/* A handle without a snapshot yet; NULL when memory is short. */
sl_delta_table *delta_table_new(sl_store *store);
/* Forgets the snapshot. */
void delta_table_reset(sl_delta_table *table);
/* Applies parsed actions in order (moved out of) as version `version`. */
sl_error *delta_table_apply(sl_delta_table *table, delta_action *actions, size_t n);
/* One action from a checkpoint or an own commit; moved out of. */
sl_error *delta_table_apply_one(sl_delta_table *table, delta_action *action);

/* ---- log (log.c) ---- */

void delta_log_path(int64_t version, char path[DELTA_PATH_BYTES]);
/* Reads everything anew. NOT_FOUND: there is no table. */
sl_error *delta_log_load(sl_delta_table *table);
/* Applies what came after the snapshot. `changes` may be NULL. */
sl_error *delta_log_refresh(sl_delta_table *table, delta_changes *changes);
/* Applies one entry's bytes as version + 1. */
sl_error *delta_log_apply(sl_delta_table *table, const uint8_t *data, size_t bytes,
                          delta_changes *changes);
/* Does the entry of `version` carry `token`? NOT_FOUND when there is no such entry. */
sl_error *delta_log_has_token(sl_delta_table *table, int64_t version, const char *token,
                              bool *ours);

/* ---- checkpoints (checkpoint_read.c, checkpoint_write.c) ---- */

void delta_checkpoint_path(int64_t version, int64_t part, int64_t parts,
                           char path[DELTA_PATH_BYTES]);
enum {
    DELTA_CHECKPOINT_STATE = 1u, /* protocol, metaData, txn, domainMetadata */
    DELTA_CHECKPOINT_FILES = 2u, /* add */
    DELTA_CHECKPOINT_TOMBSTONES = 4u,
    DELTA_CHECKPOINT_PATHS = 8u /* add with nothing but its path */
};
typedef sl_error *(*delta_visit_action)(delta_action *action, void *arg); /* may move out of it */
/* Streams the actions of the wanted kinds of the table's checkpoint; adds to *actions (may be NULL)
 * how many it holds. */
sl_error *delta_checkpoint_visit(const sl_delta_table *table, unsigned wanted,
                                 delta_visit_action visit, void *arg, int64_t *actions);

#endif /* SL_DELTA_INTERNAL_H */
