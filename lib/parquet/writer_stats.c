/* Smallest and largest values: see writer_stats.h. */
#include "parquet/writer_stats.h"

#include <math.h>
#include <string.h>

#define SHOWN SL_PQW_STATS_STRING_BYTES
#define KEPT (SHOWN + 1)
#define HEAD_BYTES 16

void sl_pqw_stats_clear(sl_pqw_stats *stats, sl_pqw_stats_kind kind) {
    stats->kind = kind;
    stats->any = false;
    stats->has_nan = false;
}

/* ---- numbers ---- */

/* min and max of n > 0 values that lie as `type`, into `member` of the statistics. */
#define SCAN(type, member)                                                                         \
    do {                                                                                           \
        const type *v = values;                                                                    \
        type low = v[0];                                                                           \
        type high = v[0];                                                                          \
        for (size_t i = 1; i < n; i++) {                                                           \
            low = v[i] < low ? v[i] : low;                                                         \
            high = v[i] > high ? v[i] : high;                                                      \
        }                                                                                          \
        stats->min.member = stats->any && stats->min.member < low ? stats->min.member : low;       \
        stats->max.member = stats->any && stats->max.member > high ? stats->max.member : high;     \
        stats->any = true;                                                                         \
    } while (0)

/* NaN is left out, and counted. */
#define SCAN_FLOATS(type)                                                                          \
    do {                                                                                           \
        const type *v = values;                                                                    \
        type low = (type)INFINITY;                                                                 \
        type high = -(type)INFINITY;                                                               \
        size_t nan = 0;                                                                            \
        for (size_t i = 0; i < n; i++) {                                                           \
            low = v[i] < low ? v[i] : low;                                                         \
            high = v[i] > high ? v[i] : high;                                                      \
            nan += v[i] != v[i];                                                                   \
        }                                                                                          \
        add_floats(stats, (double)low, (double)high, n, nan);                                      \
    } while (0)

static void add_floats(sl_pqw_stats *stats, double low, double high, size_t n, size_t nan) {
    stats->has_nan = stats->has_nan || nan > 0;
    if (nan == n) {
        return;
    }
    stats->min.f64 = stats->any && stats->min.f64 < low ? stats->min.f64 : low;
    stats->max.f64 = stats->any && stats->max.f64 > high ? stats->max.f64 : high;
    stats->any = true;
}

static sl_pqw_stats_wide load_big_endian(const uint8_t *bytes, size_t width) {
    sl_pqw_stats_head value = (bytes[0] & 0x80) != 0 ? ~(sl_pqw_stats_head)0 : 0;
    for (size_t i = 0; i < width; i++) {
        value = value << 8 | bytes[i];
    }
    return (sl_pqw_stats_wide)value;
}

static void add_wide(sl_pqw_stats *stats, sl_pqw_stats_wide low, sl_pqw_stats_wide high) {
    stats->min.wide = stats->any && stats->min.wide < low ? stats->min.wide : low;
    stats->max.wide = stats->any && stats->max.wide > high ? stats->max.wide : high;
    stats->any = true;
}

static void add_big_endian(sl_pqw_stats *stats, const uint8_t *values, size_t n, size_t width) {
    for (size_t i = 0; i < n; i++) {
        sl_pqw_stats_wide value = load_big_endian(values + i * width, width);
        add_wide(stats, value, value);
    }
}

void sl_pqw_stats_add(sl_pqw_stats *stats, const void *values, size_t n, size_t width) {
    if (n == 0) {
        return;
    }
    switch (stats->kind) {
    case SL_PQW_STATS_BOOL:
        SCAN(uint8_t, i64);
        break;
    case SL_PQW_STATS_I32:
        SCAN(int32_t, i64);
        break;
    case SL_PQW_STATS_U32:
        SCAN(uint32_t, i64);
        break;
    case SL_PQW_STATS_I64:
        SCAN(int64_t, i64);
        break;
    case SL_PQW_STATS_U64:
        SCAN(uint64_t, u64);
        break;
    case SL_PQW_STATS_FLOAT:
        SCAN_FLOATS(float);
        break;
    case SL_PQW_STATS_DOUBLE:
        SCAN_FLOATS(double);
        break;
    case SL_PQW_STATS_BIG_ENDIAN:
        add_big_endian(stats, values, n, width);
        break;
    case SL_PQW_STATS_BYTES:
        for (size_t i = 0; i < n; i++) {
            sl_pqw_stats_add_string(stats, (const uint8_t *)values + i * width, width);
        }
        break;
    }
}

/* ---- strings ---- */

static sl_pqw_stats_head head_of(const uint8_t *data, size_t bytes) {
    uint64_t high;
    uint64_t low;
    memcpy(&high, data, 8);
    memcpy(&low, data + 8, 8);
    sl_pqw_stats_head head =
        (sl_pqw_stats_head)__builtin_bswap64(high) << 64 | __builtin_bswap64(low);
    if (bytes >= HEAD_BYTES) {
        return head;
    }
    return bytes == 0 ? 0 : head & (~(sl_pqw_stats_head)0 << (8 * (HEAD_BYTES - bytes)));
}

static int compare(const uint8_t *a, size_t a_bytes, const sl_pqw_stats_string *b) {
    size_t kept = a_bytes < KEPT ? a_bytes : KEPT;
    int order = memcmp(a, b->data, kept < b->bytes ? kept : b->bytes);
    return order != 0 ? order : kept < b->bytes ? -1 : kept > b->bytes;
}

static void keep(sl_pqw_stats_string *string, sl_pqw_stats_head head, const uint8_t *data,
                 size_t bytes) {
    string->head = head;
    string->bytes = (uint32_t)(bytes < KEPT ? bytes : KEPT);
    memcpy(string->data, data, string->bytes);
}

__attribute__((always_inline)) static inline void
add_string(sl_pqw_stats *stats, sl_pqw_stats_head head, const uint8_t *data, size_t bytes) {
    sl_pqw_stats_string *min = &stats->min.string;
    sl_pqw_stats_string *max = &stats->max.string;
    if (!stats->any) {
        keep(min, head, data, bytes);
        keep(max, head, data, bytes);
        stats->any = true;
        return;
    }
    /* equal heads tell nothing about what follows, nor about zeros at the end */
    if (head <= min->head && (head < min->head || compare(data, bytes, min) < 0)) {
        keep(min, head, data, bytes);
    }
    if (head >= max->head && (head > max->head || compare(data, bytes, max) > 0)) {
        keep(max, head, data, bytes);
    }
}

void sl_pqw_stats_add_strings(sl_pqw_stats *stats, const uint8_t *data, const uint32_t *lengths,
                              size_t n) {
    for (size_t i = 0; i < n; i++) {
        add_string(stats, head_of(data, lengths[i]), data, lengths[i]);
        data += lengths[i];
    }
}

void sl_pqw_stats_add_string(sl_pqw_stats *stats, const uint8_t *data, size_t bytes) {
    uint8_t padded[HEAD_BYTES] = {0};
    memcpy(padded, data, bytes < HEAD_BYTES ? bytes : HEAD_BYTES);
    add_string(stats, head_of(padded, bytes), data, bytes);
}

void sl_pqw_stats_merge(sl_pqw_stats *stats, const sl_pqw_stats *other) {
    if (other->any) {
        switch (stats->kind) {
        case SL_PQW_STATS_U64: {
            const uint64_t both[2] = {other->min.u64, other->max.u64};
            sl_pqw_stats_add(stats, both, 2, sizeof(both[0]));
            break;
        }
        case SL_PQW_STATS_FLOAT:
        case SL_PQW_STATS_DOUBLE:
            add_floats(stats, other->min.f64, other->max.f64, 1, 0);
            break;
        case SL_PQW_STATS_BIG_ENDIAN:
            add_wide(stats, other->min.wide, other->max.wide);
            break;
        case SL_PQW_STATS_BYTES:
            add_string(stats, other->min.string.head, other->min.string.data,
                       other->min.string.bytes);
            add_string(stats, other->max.string.head, other->max.string.data,
                       other->max.string.bytes);
            break;
        default: {
            int64_t low = other->min.i64;
            int64_t high = other->max.i64;
            stats->min.i64 = stats->any && stats->min.i64 < low ? stats->min.i64 : low;
            stats->max.i64 = stats->any && stats->max.i64 > high ? stats->max.i64 : high;
            stats->any = true;
        }
        }
    }
    stats->has_nan = stats->has_nan || other->has_nan;
}

/* ---- describing ---- */

static bool is_continuation(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

/* Where to cut: whole characters of utf8, SHOWN bytes at most. */
static size_t cut_at(const sl_pqw_stats_string *string, bool utf8) {
    size_t end = SHOWN;
    while (utf8 && end > 0 && is_continuation(string->data[end])) {
        end--;
    }
    return end;
}

/* Makes data[0..bytes) greater than all strings that begin with it, by its last byte that allows
 * it; returns the new length, 0 when there is none. */
static size_t round_up_bytes(uint8_t *data, size_t bytes) {
    while (bytes > 0 && data[bytes - 1] == 0xff) {
        bytes--;
    }
    if (bytes > 0) {
        data[bytes - 1]++;
    }
    return bytes;
}

/* The next character in code point order; 0 when there is none. */
static uint32_t next_character(const uint8_t *at, size_t length) {
    static const uint8_t lead_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = at[0] & lead_mask[length];
    for (size_t i = 1; i < length; i++) {
        c = c << 6 | (at[i] & 0x3fu);
    }
    c++;
    return c == 0xd800 ? 0xe000 : c > 0x10ffff ? 0 : c;
}

static size_t put_character(uint32_t c, uint8_t *out) {
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (uint8_t)((0xf00u >> length & 0xf0u) | c);
    return length;
}

/* The same in characters, so that the result stays UTF-8; it may be a byte longer than before. */
static size_t round_up_utf8(uint8_t *data, size_t bytes) {
    while (bytes > 0) {
        size_t begin = bytes - 1;
        while (begin > 0 && is_continuation(data[begin])) {
            begin--;
        }
        size_t length = bytes - begin;
        uint32_t c = length > 4 ? 0 : next_character(data + begin, length);
        if (c != 0) {
            return begin + put_character(c, data + begin);
        }
        bytes = begin;
    }
    return 0;
}

static void describe_strings(const sl_pqw_stats *stats, sl_parquet_column *column,
                             uint8_t *memory) {
    bool utf8 = column->type.id == SL_TYPE_UTF8;
    const sl_pqw_stats_string *min = &stats->min.string;
    const sl_pqw_stats_string *max = &stats->max.string;

    column->has_min = true;
    column->min_exact = min->bytes <= SHOWN;
    size_t bytes = column->min_exact ? min->bytes : cut_at(min, utf8);
    memcpy(memory, min->data, bytes);
    column->min.data = memory;
    column->min.bytes = bytes;

    memory += SHOWN;
    column->max_exact = max->bytes <= SHOWN;
    bytes = max->bytes;
    if (column->max_exact) {
        memcpy(memory, max->data, bytes);
    } else {
        uint8_t rounded[SHOWN + 8];
        bytes = cut_at(max, utf8);
        memcpy(rounded, max->data, bytes);
        /* one character less where a longer one would not fit */
        bytes = utf8 ? round_up_utf8(rounded, bytes) : round_up_bytes(rounded, bytes);
        if (bytes > SHOWN) {
            bytes = cut_at(max, utf8) - 1;
            while (bytes > 0 && is_continuation(max->data[bytes])) {
                bytes--;
            }
            memcpy(rounded, max->data, bytes);
            bytes = round_up_utf8(rounded, bytes);
        }
        memcpy(memory, rounded, bytes);
    }
    column->has_max = column->max_exact || bytes > 0;
    column->max.data = memory;
    column->max.bytes = bytes;
}

static void describe_decimal(sl_pqw_stats_wide value, sl_parquet_value *out) {
    memcpy(out->decimal, &value, sizeof(out->decimal));
}

void sl_pqw_stats_describe(const sl_pqw_stats *stats, sl_parquet_column *column, uint8_t *memory) {
    column->has_nan = stats->has_nan;
    column->has_min = column->has_max = stats->any;
    column->min_exact = column->max_exact = stats->any;
    if (!stats->any) {
        return;
    }
    bool decimal = column->type.id == SL_TYPE_DECIMAL128;
    switch (stats->kind) {
    case SL_PQW_STATS_BYTES:
        describe_strings(stats, column, memory);
        break;
    case SL_PQW_STATS_BIG_ENDIAN:
        describe_decimal(stats->min.wide, &column->min);
        describe_decimal(stats->max.wide, &column->max);
        break;
    case SL_PQW_STATS_FLOAT:
    case SL_PQW_STATS_DOUBLE:
        column->min.f64 = stats->min.f64 == 0 ? -0.0 : stats->min.f64;
        column->max.f64 = stats->max.f64 == 0 ? 0.0 : stats->max.f64;
        break;
    case SL_PQW_STATS_U64:
        column->min.u64 = stats->min.u64;
        column->max.u64 = stats->max.u64;
        break;
    default:
        if (decimal) {
            describe_decimal(stats->min.i64, &column->min);
            describe_decimal(stats->max.i64, &column->max);
        } else {
            column->min.i64 = stats->min.i64;
            column->max.i64 = stats->max.i64;
        }
    }
}
