/*
 * Per-file statistics (PROTOCOL.md, "Per-file Statistics"). Every bound is one that holds whatever
 * a reader adds or takes away: texts are cut at 32 characters with the maximum rounded up,
 * timestamps are rounded outwards to milliseconds, and what JSON cannot say (NaN, infinities) or
 * readers order differently (booleans, binary) is left out.
 */
#include "delta/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "delta/internal.h"

#define TEXT_CHARACTERS 32
#define MAX_DEPTH 64

typedef enum which { WHICH_MIN, WHICH_MAX, WHICH_NULLS } which;

typedef struct stats_walk {
    const sl_parquet_summary *summary;
    size_t limit; /* leaves that get statistics */
    size_t leaf;  /* the next one */
    which which;
    sl_buffer *out;
} stats_walk;

/* Bytes of the first TEXT_CHARACTERS characters. */
static size_t cut_bytes(const uint8_t *data, size_t bytes) {
    size_t characters = 0;
    for (size_t i = 0; i < bytes; i++) {
        if ((data[i] & 0xc0) != 0x80 && characters++ == TEXT_CHARACTERS) {
            return i;
        }
    }
    return bytes;
}

static uint32_t decode_last(const uint8_t *data, size_t *bytes) {
    size_t at = *bytes - 1;
    while (at > 0 && (data[at] & 0xc0) == 0x80) {
        at--;
    }
    size_t n = *bytes - at;
    uint32_t c = n == 1 ? data[at] : data[at] & (0xffu >> (n + 1));
    for (size_t i = at + 1; i < *bytes; i++) {
        c = (c << 6) | (data[i] & 0x3f);
    }
    *bytes = at;
    return c;
}

static size_t encode(uint32_t c, uint8_t *out) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | (c >> 6));
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | (c >> 12));
        out[1] = (uint8_t)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | (c >> 18));
    out[1] = (uint8_t)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (uint8_t)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* The smallest text of at most 32 characters above all that begin with `data`: the last character
 * that can be raised is. False when none can. */
static bool raise(const uint8_t *data, size_t bytes, uint8_t *out, size_t *out_bytes) {
    while (bytes > 0) {
        uint32_t c = decode_last(data, &bytes) + 1;
        if (c == 0xd800) {
            c = 0xe000;
        }
        if (c <= 0x10ffff) {
            memcpy(out, data, bytes);
            *out_bytes = bytes + encode(c, out + bytes);
            return true;
        }
    }
    return false;
}

static bool write_text(const stats_walk *walk, const sl_parquet_value *value) {
    size_t bytes = cut_bytes(value->data, value->bytes);
    if (walk->which == WHICH_MIN || bytes == value->bytes) {
        return sl_buffer_append_json_string(walk->out, (const char *)value->data, bytes);
    }
    uint8_t raised[4 * TEXT_CHARACTERS + 4];
    size_t raised_bytes;
    return raise(value->data, bytes, raised, &raised_bytes) &&
           sl_buffer_append_json_string(walk->out, (const char *)raised, raised_bytes);
}

/* Outwards to whole milliseconds. */
static int64_t round_ms(int64_t us, which bound) {
    int64_t rest = us % 1000;
    rest += rest < 0 ? 1000 : 0;
    if (rest == 0 || us > INT64_MAX - 1000 || us < INT64_MIN + 1000) {
        return us; /* at the ends of all time, for which there is no text */
    }
    return bound == WHICH_MIN ? us - rest : us + (1000 - rest);
}

/* One bound; false when it cannot be said, and then nothing is written. */
static bool write_bound(const stats_walk *walk, const sl_parquet_column *column,
                        const sl_parquet_value *value) {
    char text[64];
    const sl_type *type = &column->type;
    switch (type->id) {
    case SL_TYPE_INT8:
    case SL_TYPE_INT16:
    case SL_TYPE_INT32:
    case SL_TYPE_INT64:
        return sl_buffer_printf(walk->out, "%lld", (long long)value->i64);
    case SL_TYPE_FLOAT:
    case SL_TYPE_DOUBLE:
        if (column->has_nan || !isfinite(value->f64)) {
            return false; /* Spark orders NaN above all numbers */
        }
        delta_double_text(value->f64, type->id == SL_TYPE_FLOAT, text);
        return sl_buffer_append_text(walk->out, text);
    case SL_TYPE_UTF8:
        return write_text(walk, value);
    case SL_TYPE_DATE32:
        return delta_date_text(value->i64, text) && sl_buffer_printf(walk->out, "\"%s\"", text);
    case SL_TYPE_TIMESTAMP_UTC:
    case SL_TYPE_TIMESTAMP_NTZ:
        return delta_timestamp_text(round_ms(value->i64, walk->which), false,
                                    type->id == SL_TYPE_TIMESTAMP_UTC ? "Z" : "", text) &&
               sl_buffer_printf(walk->out, "\"%s\"", text);
    case SL_TYPE_DECIMAL128:
        delta_decimal_text(value->decimal, type->scale, text);
        return sl_buffer_append_text(walk->out, text);
    default:
        return false;
    }
}

static bool write_leaf(const stats_walk *walk, const sl_parquet_column *column) {
    if (walk->which == WHICH_NULLS) {
        return sl_buffer_printf(walk->out, "%lld", (long long)column->null_count);
    }
    bool has = walk->which == WHICH_MIN ? column->has_min : column->has_max;
    return has && write_bound(walk, column, walk->which == WHICH_MIN ? &column->min : &column->max);
}

static size_t count_leaves(const struct ArrowSchema *schema) {
    if (schema->n_children == 0) {
        return 1;
    }
    size_t n = 0;
    for (int64_t i = 0; i < schema->n_children; i++) {
        n += count_leaves(schema->children[i]);
    }
    return n;
}

static bool write_struct(stats_walk *walk, const struct ArrowSchema *schema, int depth);

/* True when something was written for the field. */
static bool write_field(stats_walk *walk, const struct ArrowSchema *field, int depth) {
    if (strcmp(field->format, "+s") == 0) {
        return write_struct(walk, field, depth + 1);
    }
    size_t leaf = walk->leaf;
    walk->leaf += count_leaves(field);
    return field->n_children == 0 && leaf < walk->limit && leaf < walk->summary->n_columns &&
           write_leaf(walk, &walk->summary->columns[leaf]);
}

/* An object of the fields that have something to say; nothing at all when none has. */
static bool write_struct(stats_walk *walk, const struct ArrowSchema *schema, int depth) {
    size_t begin = walk->out->bytes;
    bool any = false;
    for (int64_t i = 0; i < schema->n_children && depth < MAX_DEPTH; i++) {
        const struct ArrowSchema *field = schema->children[i];
        size_t before = walk->out->bytes;
        sl_buffer_append_byte(walk->out, any ? ',' : '{');
        sl_buffer_append_json_string(walk->out, field->name, strlen(field->name));
        sl_buffer_append_byte(walk->out, ':');
        if (write_field(walk, field, depth)) {
            any = true;
        } else {
            walk->out->bytes = before;
        }
    }
    if (!any) {
        walk->out->bytes = begin;
        return false;
    }
    return sl_buffer_append_byte(walk->out, '}');
}

sl_error *delta_stats_write(const struct ArrowSchema *schema, const sl_parquet_summary *summary,
                            int64_t columns, sl_buffer *out) {
    static const char *const names[] = {",\"minValues\":", ",\"maxValues\":", ",\"nullCount\":"};
    sl_buffer_printf(out, "{\"numRecords\":%lld", (long long)summary->rows);
    for (int i = WHICH_MIN; i <= WHICH_NULLS; i++) {
        stats_walk walk = {
            .summary = summary,
            .limit = columns < 0 ? SIZE_MAX : (size_t)columns,
            .which = (which)i,
            .out = out,
        };
        size_t before = out->bytes;
        sl_buffer_append_text(out, names[i]);
        if (!write_struct(&walk, schema, 0)) {
            out->bytes = before;
        }
    }
    sl_buffer_append_byte(out, '}');
    return out->failed ? sl_error_no_memory() : NULL;
}
