/*
 * Which tables we may read and write (PROTOCOL.md, "Table Features"). A feature that is only listed
 * and not used by the table costs nothing; one that is used and that we do not have is refused by
 * its name before anything is written.
 */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

/* Does the table use the feature? Then it is refused. */
typedef bool (*feature_used)(const sl_delta_table *table);

static bool configured_true(const sl_delta_table *table, const char *key) {
    const char *value = delta_configuration(table, key);
    return value != NULL && strcasecmp(value, "true") == 0;
}

static bool has_column_mapping(const sl_delta_table *table) {
    const char *mode = delta_configuration(table, "delta.columnMapping.mode");
    return mode != NULL && strcmp(mode, "none") != 0;
}

static bool has_change_feed(const sl_delta_table *table) {
    return configured_true(table, "delta.enableChangeDataFeed");
}

static bool has_row_tracking(const sl_delta_table *table) {
    return configured_true(table, "delta.enableRowTracking");
}

static bool has_check_constraints(const sl_delta_table *table) {
    const delta_pairs *configuration = &table->metadata.configuration;
    for (size_t i = 0; i < configuration->n; i++) {
        if (strncmp(configuration->keys[i], "delta.constraints.", 18) == 0) {
            return true;
        }
    }
    return false;
}

/* Field metadata stands in the schema's text; a quoted key is searched there. */
static bool schema_says(const sl_delta_table *table, const char *quoted_key) {
    return table->metadata.schema_string != NULL &&
           strstr(table->metadata.schema_string, quoted_key) != NULL;
}

static bool has_invariants(const sl_delta_table *table) {
    return schema_says(table, "\"delta.invariants\"");
}

static bool has_generated_columns(const sl_delta_table *table) {
    return schema_says(table, "\"delta.generationExpression\"");
}

static bool has_identity_columns(const sl_delta_table *table) {
    return schema_says(table, "\"delta.identity.");
}

static bool has_column_defaults(const sl_delta_table *table) {
    return schema_says(table, "\"CURRENT_DEFAULT\"");
}

static bool never(const sl_delta_table *table) {
    (void)table;
    return false;
}

/*
 * X: name, what a writer must refuse. `since` is the writer version from which an older protocol
 * has the feature without naming it (0: only by name).
 */
static const struct feature {
    const char *name;
    int32_t since;
    feature_used used;
} features[] = {
    {"appendOnly", 2, never}, /* honoured: sl_delta_check_writable */
    {"invariants", 2, has_invariants},
    {"checkConstraints", 3, has_check_constraints},
    {"changeDataFeed", 4, has_change_feed},
    {"generatedColumns", 4, has_generated_columns},
    {"columnMapping", 5, has_column_mapping},
    {"identityColumns", 6, has_identity_columns},
    {"timestampNtz", 0, never},
    {"domainMetadata", 0, never},
    {"inCommitTimestamp", 0, never},
    {"vacuumProtocolCheck", 0, never},
    {"allowColumnDefaults", 0, has_column_defaults},
    {"rowTracking", 0, has_row_tracking},
};

static const struct feature *find_feature(const char *name) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(features); i++) {
        if (strcmp(features[i].name, name) == 0) {
            return &features[i];
        }
    }
    return NULL;
}

/* Reader features that need nothing of us when reading live files and positions. */
static bool can_read(const char *name) {
    return strcmp(name, "timestampNtz") == 0 || strcmp(name, "vacuumProtocolCheck") == 0 ||
           strcmp(name, "columnMapping") == 0; /* used or not: checked when files are read */
}

static sl_error *refuse(const char *url, const char *what, const char *feature) {
    return sl_error_new(SL_ERROR_UNSUPPORTED,
                        "%s: the table uses the feature \"%s\", which sluice cannot %s; drop the "
                        "feature from the table or write to another one",
                        url, feature, what);
}

sl_error *delta_protocol_check_read(const delta_protocol *protocol, const char *url) {
    if (protocol->min_reader > 3) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "%s: the table asks for reader version %d; sluice reads 1 to 3", url,
                            protocol->min_reader);
    }
    for (size_t i = 0; protocol->min_reader == 3 && i < protocol->reader_features.n; i++) {
        if (!can_read(protocol->reader_features.items[i])) {
            return refuse(url, "read", protocol->reader_features.items[i]);
        }
    }
    return NULL;
}

sl_error *delta_protocol_check_write(const sl_delta_table *table) {
    const delta_protocol *protocol = &table->protocol;
    if (protocol->min_writer > 7) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "%s: the table asks for writer version %d; sluice writes 1 to 7",
                            table->url, protocol->min_writer);
    }
    if (protocol->min_writer == 7) {
        for (size_t i = 0; i < protocol->writer_features.n; i++) {
            const char *name = protocol->writer_features.items[i];
            const struct feature *feature = find_feature(name);
            if (feature == NULL || feature->used(table)) {
                return refuse(table->url, "write", name);
            }
        }
        return NULL;
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(features); i++) {
        if (features[i].since > 0 && features[i].since <= protocol->min_writer &&
            features[i].used(table)) {
            return refuse(table->url, "write", features[i].name);
        }
    }
    return NULL;
}

sl_error *sl_delta_check_writable(const sl_delta_table *table, bool removes) {
    sl_error *error = delta_protocol_check_write(table);
    if (error == NULL && removes && configured_true(table, "delta.appendOnly")) {
        error = sl_error_new(SL_ERROR_CONFIG,
                             "%s: the table's property delta.appendOnly is true, so rows cannot be "
                             "replaced or deleted; use mode append, or unset the property",
                             table->url);
    }
    return error;
}

const char *delta_configuration(const sl_delta_table *table, const char *key) {
    return delta_pairs_get(&table->metadata.configuration, key);
}

int64_t delta_interval_ms(const sl_delta_table *table, const char *key, int64_t fallback_ms) {
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {
        {"millisecond", 1}, {"second", 1000},  {"minute", 60000},
        {"hour", 3600000},  {"day", 86400000}, {"week", 604800000},
    };
    const char *text = delta_configuration(table, key);
    if (text == NULL) {
        return fallback_ms;
    }
    text += strncasecmp(text, "interval", 8) == 0 ? 8 : 0;
    char *end = NULL;
    long long amount = strtoll(text, &end, 10);
    if (end == text || amount < 0 || amount > 100000) {
        return fallback_ms;
    }
    end += strspn(end, " ");
    for (size_t i = 0; i < SL_ARRAY_LENGTH(units); i++) {
        if (strncasecmp(end, units[i].name, strlen(units[i].name)) == 0) {
            return amount * units[i].ms;
        }
    }
    return fallback_ms;
}
