/* Columns as rows of JSON, what Power BI's types can hold, and the newest row of each key. */
#include "powerbi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- types ---- */

const char *powerbi_type(const struct ArrowSchema *column) {
    sl_type type;
    if (!sl_type_parse(column->format, &type)) {
        return NULL;
    }
    switch (type.id) {
    case SL_TYPE_BOOL:
        return "Boolean";
    case SL_TYPE_INT8:
    case SL_TYPE_INT16:
    case SL_TYPE_INT32:
    case SL_TYPE_INT64:
        return "Int64";
    case SL_TYPE_FLOAT:
    case SL_TYPE_DOUBLE:
        return "Double";
    case SL_TYPE_DECIMAL128:
        return "Decimal";
    case SL_TYPE_DATE32:
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ:
        return "DateTime";
    case SL_TYPE_UTF8:
        return "String";
    default:
        return NULL;
    }
}

sl_error *powerbi_check_columns(const struct ArrowSchema *schema) {
    if (schema->n_children > POWERBI_MAX_COLUMNS) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "the input has %lld columns; a table of a push dataset has at most %d",
                            (long long)schema->n_children, POWERBI_MAX_COLUMNS);
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        const struct ArrowSchema *column = schema->children[i];
        if (powerbi_type(column) != NULL) {
            continue;
        }
        sl_buffer described = SL_BUFFER_INIT;
        sl_type_describe(column, &described);
        const char *text = sl_buffer_text(&described);
        sl_error *error = sl_error_new(
            SL_ERROR_CONFIG,
            "column \"%s\" is %s; a push dataset holds numbers, text, booleans, dates and "
            "timestamps: aggregate it, or take it out before this sink",
            column->name, text != NULL ? text : "of another kind");
        sl_buffer_free(&described);
        return error;
    }
    return NULL;
}

/* ---- what a value may be ---- */

/* Of Microsoft's page "Data types in Power BI Desktop": whole numbers without the least and the
 * largest of 64 bits, numbers that are numbers, fixed decimals of 64 bits with four digits behind
 * the point, dates from 1900 to 9999. */
#define FIRST_DAY (-25567)
#define LAST_DAY INT64_C(2932896)
#define DAY_US INT64_C(86400000000)
#define CURRENCY_MAX INT64_MAX
#define CURRENCY_SCALE 4

static bool refuse(struct powerbi_fault *fault, const char *reason, const char *detail) {
    fault->reason = reason;
    fault->detail = detail;
    return true;
}

/* As .NET counts characters: code units of UTF-16. */
static size_t characters(const uint8_t *text, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        n += (size_t)((text[i] & 0xc0) != 0x80) + (size_t)(text[i] >= 0xf0);
    }
    return n;
}

static bool text_fault(const struct ArrowArray *column, int64_t row, struct powerbi_fault *fault) {
    const int32_t *offsets = (const int32_t *)column->buffers[1] + row;
    size_t bytes = (size_t)(offsets[1] - offsets[0]);
    const uint8_t *text = (const uint8_t *)column->buffers[2] + offsets[0];
    return bytes > POWERBI_STRING_CHARACTERS &&
           characters(text, bytes) > POWERBI_STRING_CHARACTERS &&
           refuse(fault, "too_long",
                  "the text is longer than the 4000 characters that a push dataset takes");
}

static bool integer_fault(int64_t value, struct powerbi_fault *fault) {
    return (value == INT64_MIN || value == INT64_MAX) &&
           refuse(fault, "number",
                  value == INT64_MIN
                      ? "found -9223372036854775808, allowed are whole numbers above it"
                      : "found 9223372036854775807, allowed are whole numbers below it");
}

static bool decimal_fault(const uint8_t *bytes, int32_t scale, struct powerbi_fault *fault) {
    sl_i128 value;
    memcpy(&value, bytes, sizeof(value));
    sl_i128 limit = CURRENCY_MAX;
    for (int32_t i = CURRENCY_SCALE; i > scale; i--) {
        limit /= 10;
    }
    int32_t at = CURRENCY_SCALE;
    for (; at < scale && limit < ((sl_i128)1 << 123); at++) { /* ten times it is a number still */
        limit *= 10;
    }
    if (at < scale) {
        return false; /* no number of 128 bits reaches the limit at this scale */
    }
    return (value > limit || value < -limit) &&
           refuse(fault, "number",
                  "the decimal is beyond 922337203685477.5807, the most that a dataset holds");
}

static bool date_fault(int64_t days, struct powerbi_fault *fault) {
    return (days < FIRST_DAY || days > LAST_DAY) &&
           refuse(fault, "date", "the date is outside of the years 1900 to 9999");
}

static bool value_fault(const sl_type *type, const struct ArrowArray *column, int64_t row,
                        struct powerbi_fault *fault) {
    const void *data = column->buffers[1];
    switch (type->id) {
    case SL_TYPE_UTF8:
        return text_fault(column, row, fault);
    case SL_TYPE_INT64:
        return integer_fault(((const int64_t *)data)[row], fault);
    case SL_TYPE_FLOAT:
    case SL_TYPE_DOUBLE:
        return !isfinite(type->id == SL_TYPE_FLOAT ? (double)((const float *)data)[row]
                                                   : ((const double *)data)[row]) &&
               refuse(fault, "number", "found NaN or an infinity, allowed are numbers");
    case SL_TYPE_DECIMAL128:
        return decimal_fault((const uint8_t *)data + (size_t)row * sizeof(sl_i128), type->scale,
                             fault);
    case SL_TYPE_DATE32:
        return date_fault(((const int32_t *)data)[row], fault);
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ: {
        int64_t us = ((const int64_t *)data)[row];
        return date_fault(us / DAY_US - (us % DAY_US < 0), fault);
    }
    default:
        return false;
    }
}

bool powerbi_row_is_at_fault(const struct ArrowSchema *schema, const struct ArrowArray *columns,
                             int64_t row, struct powerbi_fault *fault) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        sl_type type;
        fault->column = schema->children[i]->name;
        if (sl_type_parse(schema->children[i]->format, &type) &&
            !sl_array_is_null(columns->children[i], row) &&
            value_fault(&type, columns->children[i], row, fault)) {
            return true;
        }
    }
    return false;
}

/* ---- lists of rows ---- */

static void free_one(struct powerbi_rows *rows) {
    sl_buffer_free(&rows->json);
    free(rows);
}

void powerbi_rows_free(struct powerbi_rows *head) {
    while (head != NULL) {
        struct powerbi_rows *next = head->next;
        free_one(head);
        head = next;
    }
}

static bool fits(const struct powerbi_rows *rows, size_t more_bytes, int32_t more_rows) {
    return rows->rows + more_rows <= POWERBI_POST_ROWS &&
           rows->json.bytes + more_bytes < POWERBI_POST_BYTES;
}

bool powerbi_rows_append(struct powerbi_rows **head, struct powerbi_rows **last,
                         const uint8_t *json, size_t bytes) {
    struct powerbi_rows *to = *last;
    if (to == NULL || !fits(to, bytes, 1)) {
        to = calloc(1, sizeof(*to));
        if (to == NULL) {
            return false;
        }
    }
    size_t before = to->json.bytes;
    bool good = (before == 0 || sl_buffer_append_byte(&to->json, ',')) &&
                sl_buffer_append(&to->json, json, bytes);
    if (!good) {
        to->json.bytes = before;
        to->json.failed = false;
        if (to != *last) {
            free_one(to);
        }
        return false;
    }
    to->rows++;
    if (to != *last) {
        if (*last != NULL) {
            (*last)->next = to;
        } else {
            *head = to;
        }
        *last = to;
    }
    return true;
}

void powerbi_rows_merge(struct powerbi_rows *head) {
    while (head != NULL && head->next != NULL) {
        struct powerbi_rows *next = head->next;
        bool joined = fits(head, next->json.bytes, next->rows) &&
                      sl_buffer_reserve(&head->json, next->json.bytes + 1);
        if (!joined) {
            head->json.failed = false;
            head = next;
            continue;
        }
        sl_buffer_append_byte(&head->json, ',');
        sl_buffer_append(&head->json, next->json.data, next->json.bytes);
        head->rows += next->rows;
        head->next = next->next;
        free_one(next);
    }
}

/* ---- the newest of each key ---- */

struct entry {
    uint64_t hash;
    sl_buffer key;
    sl_buffer json;
};

struct powerbi_coalesced {
    struct entry *entries; /* in the order in which their keys came */
    size_t n;
    size_t capacity;
    uint32_t *slots; /* index + 1 of an entry; 0: free */
    size_t n_slots;  /* a power of two, more than twice n */
};

struct powerbi_coalesced *powerbi_coalesced_new(void) {
    return calloc(1, sizeof(struct powerbi_coalesced));
}

static void clear(struct powerbi_coalesced *newest) {
    for (size_t i = 0; i < newest->n; i++) {
        sl_buffer_free(&newest->entries[i].key);
        sl_buffer_free(&newest->entries[i].json);
    }
    newest->n = 0;
    if (newest->slots != NULL) {
        memset(newest->slots, 0, newest->n_slots * sizeof(*newest->slots));
    }
}

void powerbi_coalesced_free(struct powerbi_coalesced *newest) {
    if (newest != NULL) {
        clear(newest);
        free(newest->entries);
        free(newest->slots);
        free(newest);
    }
}

/* The slot of the key: its entry's, or the free one where it belongs. */
static uint32_t *slot_of(struct powerbi_coalesced *newest, uint64_t hash, const sl_buffer *key) {
    for (size_t i = hash & (newest->n_slots - 1);; i = (i + 1) & (newest->n_slots - 1)) {
        uint32_t *slot = &newest->slots[i];
        if (*slot == 0) {
            return slot;
        }
        const struct entry *entry = &newest->entries[*slot - 1];
        if (entry->hash == hash && entry->key.bytes == key->bytes &&
            memcmp(entry->key.data, key->data, key->bytes) == 0) {
            return slot;
        }
    }
}

static bool make_room(struct powerbi_coalesced *newest) {
    if (newest->n < newest->capacity) {
        return true;
    }
    size_t capacity = newest->capacity == 0 ? 64 : newest->capacity * 2;
    struct entry *entries = realloc(newest->entries, capacity * sizeof(*entries));
    if (entries == NULL) {
        return false;
    }
    newest->entries = entries;
    uint32_t *slots = calloc(capacity * 4, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    free(newest->slots);
    newest->slots = slots;
    newest->n_slots = capacity * 4;
    newest->capacity = capacity;
    for (size_t i = 0; i < newest->n; i++) {
        *slot_of(newest, entries[i].hash, &entries[i].key) = (uint32_t)i + 1;
    }
    return true;
}

bool powerbi_coalesced_put(struct powerbi_coalesced *newest, const sl_buffer *key,
                           const sl_buffer *json, size_t *bytes, int64_t *added) {
    *added = 0;
    if (!make_room(newest)) {
        return false;
    }
    uint64_t hash = XXH3_64bits(key->data, key->bytes);
    uint32_t *slot = slot_of(newest, hash, key);
    if (*slot == 0) {
        struct entry *entry = &newest->entries[newest->n];
        *entry = (struct entry){.hash = hash};
        if (!sl_buffer_append(&entry->key, key->data, key->bytes) ||
            !sl_buffer_append(&entry->json, json->data, json->bytes)) {
            sl_buffer_free(&entry->key);
            sl_buffer_free(&entry->json);
            return false;
        }
        newest->n++;
        *slot = (uint32_t)newest->n;
        *bytes += key->bytes + json->bytes;
        *added = 1;
        return true;
    }
    struct entry *entry = &newest->entries[*slot - 1];
    if (!sl_buffer_reserve(&entry->json, json->bytes)) {
        return false;
    }
    *bytes = *bytes - entry->json.bytes + json->bytes;
    sl_buffer_clear(&entry->json);
    sl_buffer_append(&entry->json, json->data, json->bytes);
    return true;
}

bool powerbi_coalesced_take(struct powerbi_coalesced *newest, struct powerbi_rows **head,
                            struct powerbi_rows **last) {
    struct powerbi_rows *made = NULL;
    struct powerbi_rows *end = NULL;
    for (size_t i = 0; i < newest->n; i++) {
        const sl_buffer *json = &newest->entries[i].json;
        if (!powerbi_rows_append(&made, &end, json->data, json->bytes)) {
            powerbi_rows_free(made);
            return false;
        }
    }
    if (made != NULL) {
        if (*last != NULL) {
            (*last)->next = made;
        } else {
            *head = made;
        }
        *last = end;
    }
    clear(newest);
    return true;
}
