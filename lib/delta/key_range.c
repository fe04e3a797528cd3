/*
 * Skipping files by partition values and statistics. Integers, dates and texts are compared; other
 * types, missing statistics and nulls among the keys never skip a file.
 */
#include "delta/key_range.h"

#include <stdlib.h>
#include <string.h>

#include "delta/data_file.h"

typedef enum range_kind {
    RANGE_NONE, /* of a type that is not compared, or with nulls */
    RANGE_INTEGER,
    RANGE_TEXT /* also dates, whose text is ordered as they are */
} range_kind;

typedef struct key_range {
    const char *name; /* the schema's */
    range_kind kind;
    bool any;
    int64_t least;
    int64_t greatest;
    char *first; /* texts, 0-terminated */
    char *last;
    size_t first_bytes;
    size_t last_bytes;
} key_range;

struct key_ranges {
    key_range *items;
    size_t n;
};

void delta_key_ranges_free(key_ranges *ranges) {
    if (ranges == NULL) {
        return;
    }
    for (size_t i = 0; i < ranges->n; i++) {
        free(ranges->items[i].first);
        free(ranges->items[i].last);
    }
    free(ranges->items);
    free(ranges);
}

static range_kind kind_of(const struct ArrowSchema *schema) {
    sl_type type;
    if (!sl_type_parse(schema->format, &type)) {
        return RANGE_NONE;
    }
    switch (type.id) {
    case SL_TYPE_INT8:
    case SL_TYPE_INT16:
    case SL_TYPE_INT32:
    case SL_TYPE_INT64:
        return RANGE_INTEGER;
    case SL_TYPE_UTF8:
    case SL_TYPE_DATE32:
        return RANGE_TEXT;
    default:
        return RANGE_NONE;
    }
}

/* Byte order; a text that begins another comes before it. */
static int compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes) {
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static bool replace(char **text, size_t *text_bytes, const char *by, size_t bytes) {
    char *copy = malloc(bytes + 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, by, bytes);
    copy[bytes] = 0;
    free(*text);
    *text = copy;
    *text_bytes = bytes;
    return true;
}

static bool widen_text(key_range *range, const char *text, size_t bytes) {
    bool first = range->first == NULL;
    if ((first || compare(text, bytes, range->first, range->first_bytes) < 0) &&
        !replace(&range->first, &range->first_bytes, text, bytes)) {
        return false;
    }
    return (!first && compare(text, bytes, range->last, range->last_bytes) <= 0) ||
           replace(&range->last, &range->last_bytes, text, bytes);
}

static void widen_integer(key_range *range, int64_t value) {
    range->least = !range->any || value < range->least ? value : range->least;
    range->greatest = !range->any || value > range->greatest ? value : range->greatest;
}

static sl_error *widen(key_range *range, const struct ArrowSchema *schema,
                       const struct ArrowArray *array, sl_buffer *text) {
    for (int64_t i = 0; i < array->length; i++) {
        bool null = false;
        sl_buffer_clear(text);
        sl_error *error = sl_delta_partition_text(schema, array, i, text, &null);
        if (sl_error_is(error, SL_ERROR_RECORD)) { /* a date that has no text: it skips no file */
            sl_error_free(error);
            null = true;
        } else if (error != NULL) {
            return error;
        }
        if (null) {
            range->kind = RANGE_NONE;
            return NULL;
        }
        int64_t value = 0;
        if (range->kind == RANGE_INTEGER) {
            (void)sl_parse_i64((const char *)text->data, text->bytes, &value);
            widen_integer(range, value);
        } else if (!widen_text(range, (const char *)text->data, text->bytes)) {
            return sl_error_no_memory();
        }
        range->any = true;
    }
    return NULL;
}

sl_error *delta_key_ranges_new(const struct ArrowSchema *schema, const int64_t *key, size_t n_key,
                               const struct ArrowArray *const *batches, size_t n_batches,
                               key_ranges **out) {
    key_ranges *ranges = calloc(1, sizeof(*ranges));
    key_range *items = calloc(n_key > 0 ? n_key : 1, sizeof(*items));
    if (ranges == NULL || items == NULL) {
        free(ranges);
        free(items);
        return sl_error_no_memory();
    }
    ranges->items = items;
    ranges->n = n_key;
    sl_buffer text = SL_BUFFER_INIT;
    sl_error *error = NULL;
    for (size_t i = 0; i < n_key && error == NULL; i++) {
        const struct ArrowSchema *column = schema->children[key[i]];
        items[i].name = column->name;
        items[i].kind = kind_of(column);
        for (size_t b = 0; b < n_batches && error == NULL && items[i].kind != RANGE_NONE; b++) {
            error = widen(&items[i], column, batches[b]->children[key[i]], &text);
        }
    }
    sl_buffer_free(&text);
    if (error != NULL) {
        delta_key_ranges_free(ranges);
        return error;
    }
    *out = ranges;
    return NULL;
}

/* A bound of the column's values in a file; text NULL: not known. */
typedef struct bound_text {
    const char *text;
    size_t bytes; /* texts may have zero bytes in them */
} bound_text;

static bool overlaps(const key_range *range, bound_text low, bound_text high) {
    int64_t bound;
    if (range->kind == RANGE_NONE || !range->any) {
        return true;
    }
    if (range->kind == RANGE_INTEGER) {
        return !(low.text != NULL && sl_parse_i64(low.text, low.bytes, &bound) &&
                 range->greatest < bound) &&
               !(high.text != NULL && sl_parse_i64(high.text, high.bytes, &bound) &&
                 range->least > bound);
    }
    return !(low.text != NULL &&
             compare(range->last, range->last_bytes, low.text, low.bytes) < 0) &&
           !(high.text != NULL &&
             compare(range->first, range->first_bytes, high.text, high.bytes) > 0);
}

static bound_text stat_text(const json_value *stats, const char *bounds, const char *column) {
    const json_value *value = delta_json_member(delta_json_member(stats, bounds), column);
    return value == NULL ? (bound_text){NULL, 0} : (bound_text){value->text, value->bytes};
}

/* Partition value of the column: 1 known, 0 null, -1 not a partition column. */
static int partition_value(const sl_delta_file *file, const delta_texts *columns, const char *name,
                           const char **value) {
    for (size_t i = 0; i < columns->n && i < file->n_partition_values; i++) {
        if (strcmp(columns->items[i], name) == 0) {
            *value = file->partition_values[i];
            return *value != NULL;
        }
    }
    return -1;
}

bool delta_key_ranges_may_hold(const key_ranges *ranges, const sl_delta_file *file,
                               const delta_texts *partition_columns) {
    json_arena arena = {0};
    const json_value *stats = NULL;
    bool may = true;
    if (file->stats != NULL) {
        sl_error_free(delta_json_parse(&arena, file->stats, strlen(file->stats), &stats));
    }
    for (size_t i = 0; i < ranges->n && may; i++) {
        const key_range *range = &ranges->items[i];
        const char *value = NULL;
        int partition = partition_value(file, partition_columns, range->name, &value);
        if (partition == 1) {
            const bound_text only = {value, strlen(value)};
            may = overlaps(range, only, only);
        } else if (partition == 0) {
            may = range->kind == RANGE_NONE; /* without nulls among the keys none is here */
        } else {
            may = overlaps(range, stat_text(stats, "minValues", range->name),
                           stat_text(stats, "maxValues", range->name));
        }
    }
    delta_json_arena_free(&arena);
    return may;
}
