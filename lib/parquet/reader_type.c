/*
 * What a leaf's physical, converted and logical types mean in Arrow (apache/parquet-format,
 * LogicalTypes.md): its Arrow format and how its values are converted. The logical type wins over
 * the converted one; an annotation that does not fit the physical type is ignored, as the
 * specification asks of readers.
 */
#include <stdio.h>
#include <string.h>

#include "parquet/reader_schema.h"

#define MAX_DECIMAL_DIGITS 38
/* A longer decimal can still be small; its extra leading bytes must be sign. */
#define MAX_FIXED_BYTES (1 << 20)

static sl_error *set(sl_pqr_node *node, const char *format, sl_pqr_convert convert) {
    snprintf(node->format, sizeof(node->format), "%s", format);
    node->convert = convert;
    return NULL;
}

/* Logical type with the converted type folded in: one question instead of two. */
typedef struct annotation {
    int32_t logical;
    int32_t unit;
    bool utc;
    int32_t bit_width;
    bool is_signed;
} annotation;

static annotation integer(int32_t bit_width, bool is_signed) {
    return (annotation){SL_PARQUET_F_LOGICAL_INTEGER, 0, false, bit_width, is_signed};
}

static annotation from_converted(int32_t converted) {
    switch (converted) {
    case SL_PARQUET_UTF8:
        return (annotation){.logical = SL_PARQUET_F_LOGICAL_STRING};
    case SL_PARQUET_ENUM:
        return (annotation){.logical = SL_PARQUET_F_LOGICAL_ENUM};
    case SL_PARQUET_JSON:
        return (annotation){.logical = SL_PARQUET_F_LOGICAL_JSON};
    case SL_PARQUET_DECIMAL:
        return (annotation){.logical = SL_PARQUET_F_LOGICAL_DECIMAL};
    case SL_PARQUET_DATE:
        return (annotation){.logical = SL_PARQUET_F_LOGICAL_DATE};
    case SL_PARQUET_TIMESTAMP_MILLIS:
        return (annotation){SL_PARQUET_F_LOGICAL_TIMESTAMP, SL_PARQUET_F_TIME_UNIT_MILLIS, true, 0,
                            false};
    case SL_PARQUET_TIMESTAMP_MICROS:
        return (annotation){SL_PARQUET_F_LOGICAL_TIMESTAMP, SL_PARQUET_F_TIME_UNIT_MICROS, true, 0,
                            false};
    case SL_PARQUET_UINT_8:
    case SL_PARQUET_UINT_16:
    case SL_PARQUET_UINT_32:
    case SL_PARQUET_UINT_64:
        return integer(8 << (converted - SL_PARQUET_UINT_8), false);
    case SL_PARQUET_INT_8:
    case SL_PARQUET_INT_16:
    case SL_PARQUET_INT_32:
    case SL_PARQUET_INT_64:
        return integer(8 << (converted - SL_PARQUET_INT_8), true);
    default:
        return (annotation){.logical = 0};
    }
}

static annotation annotate(const sl_pqr_element *element) {
    if (element->logical == 0) {
        return from_converted(element->converted);
    }
    return (annotation){element->logical, element->unit, element->utc, element->bit_width,
                        element->is_signed};
}

static sl_error *set_decimal(const sl_pqr_element *element, sl_pqr_node *node,
                             sl_pqr_convert convert) {
    if (element->precision < 1 || element->scale < 0 || element->scale > element->precision) {
        return sl_error_new(SL_ERROR_CORRUPT,
                            "column \"%s\" is a decimal of precision %d and scale %d", node->path,
                            (int)element->precision, (int)element->scale);
    }
    if (element->precision > MAX_DECIMAL_DIGITS) {
        return sl_error_new(SL_ERROR_UNSUPPORTED,
                            "column \"%s\" is a decimal of %d digits; up to %d are read",
                            node->path, (int)element->precision, MAX_DECIMAL_DIGITS);
    }
    snprintf(node->format, sizeof(node->format), "d:%d,%d", (int)element->precision,
             (int)element->scale);
    node->convert = convert;
    return NULL;
}

static sl_error *set_int32(const sl_pqr_element *element, const annotation *a, sl_pqr_node *node) {
    node->stored_bytes = 4;
    if (a->logical == SL_PARQUET_F_LOGICAL_DATE) {
        return set(node, "tdD", SL_PQR_COPY);
    }
    if (a->logical == SL_PARQUET_F_LOGICAL_DECIMAL) {
        return set_decimal(element, node, SL_PQR_I32_DECIMAL);
    }
    if (a->logical == SL_PARQUET_F_LOGICAL_INTEGER) {
        switch (a->bit_width) {
        case 8:
            return a->is_signed ? set(node, "c", SL_PQR_I32_I8) : set(node, "C", SL_PQR_I32_U8);
        case 16:
            return a->is_signed ? set(node, "s", SL_PQR_I32_I16) : set(node, "S", SL_PQR_I32_U16);
        case 32:
            return set(node, a->is_signed ? "i" : "I", SL_PQR_COPY);
        default:
            break;
        }
    }
    return set(node, "i", SL_PQR_COPY);
}

static sl_error *set_int64(const sl_pqr_element *element, const annotation *a, sl_pqr_node *node) {
    node->stored_bytes = 8;
    if (a->logical == SL_PARQUET_F_LOGICAL_DECIMAL) {
        return set_decimal(element, node, SL_PQR_I64_DECIMAL);
    }
    if (a->logical == SL_PARQUET_F_LOGICAL_TIMESTAMP) {
        const char *format = a->utc ? "tsu:UTC" : "tsu:";
        switch (a->unit) {
        case SL_PARQUET_F_TIME_UNIT_MILLIS:
            return set(node, format, SL_PQR_MILLIS_MICROS);
        case SL_PARQUET_F_TIME_UNIT_MICROS:
            return set(node, format, SL_PQR_COPY);
        case SL_PARQUET_F_TIME_UNIT_NANOS:
            return set(node, format, SL_PQR_NANOS_MICROS);
        default:
            return sl_error_new(SL_ERROR_UNSUPPORTED,
                                "column \"%s\" is a timestamp of the unknown unit %d", node->path,
                                (int)a->unit);
        }
    }
    bool is_unsigned =
        a->logical == SL_PARQUET_F_LOGICAL_INTEGER && a->bit_width == 64 && !a->is_signed;
    return set(node, is_unsigned ? "L" : "l", SL_PQR_COPY);
}

static sl_error *set_byte_array(const sl_pqr_element *element, const annotation *a,
                                sl_pqr_node *node) {
    switch (a->logical) {
    case SL_PARQUET_F_LOGICAL_STRING:
    case SL_PARQUET_F_LOGICAL_ENUM:
    case SL_PARQUET_F_LOGICAL_JSON:
        return set(node, "u", SL_PQR_STRING);
    case SL_PARQUET_F_LOGICAL_DECIMAL:
        return set_decimal(element, node, SL_PQR_STRING_DECIMAL);
    default:
        return set(node, "z", SL_PQR_STRING);
    }
}

static sl_error *set_fixed(const sl_pqr_element *element, const annotation *a, sl_pqr_node *node) {
    if (element->type_length < 1 || element->type_length > MAX_FIXED_BYTES) {
        return sl_error_new(SL_ERROR_CORRUPT,
                            "column \"%s\" is FIXED_LEN_BYTE_ARRAY of %d bytes; 1 to %d are read",
                            node->path, (int)element->type_length, MAX_FIXED_BYTES);
    }
    node->stored_bytes = (size_t)element->type_length;
    if (a->logical == SL_PARQUET_F_LOGICAL_DECIMAL) {
        return set_decimal(element, node, SL_PQR_FIXED_DECIMAL);
    }
    if (a->logical == SL_PARQUET_F_LOGICAL_FLOAT16 && element->type_length == 2) {
        return set(node, "f", SL_PQR_HALF_FLOAT);
    }
    snprintf(node->format, sizeof(node->format), "w:%d", (int)element->type_length);
    node->convert = SL_PQR_COPY;
    return NULL;
}

sl_error *sl_pqr_leaf_type(const sl_pqr_element *element, sl_pqr_node *node) {
    annotation a = annotate(element);
    node->type = (sl_parquet_type)element->type;
    switch (element->type) {
    case SL_PARQUET_BOOLEAN:
        return set(node, "b", SL_PQR_BOOL);
    case SL_PARQUET_INT32:
        return set_int32(element, &a, node);
    case SL_PARQUET_INT64:
        return set_int64(element, &a, node);
    case SL_PARQUET_INT96:
        node->stored_bytes = 12;
        return set(node, "tsu:UTC", SL_PQR_INT96_MICROS);
    case SL_PARQUET_FLOAT:
        node->stored_bytes = 4;
        return set(node, "f", SL_PQR_COPY);
    case SL_PARQUET_DOUBLE:
        node->stored_bytes = 8;
        return set(node, "g", SL_PQR_COPY);
    case SL_PARQUET_BYTE_ARRAY:
        return set_byte_array(element, &a, node);
    case SL_PARQUET_FIXED_LEN_BYTE_ARRAY:
        return set_fixed(element, &a, node);
    default:
        return sl_error_new(SL_ERROR_CORRUPT, "column \"%s\" has the unknown type %d", node->path,
                            (int)element->type);
    }
}
