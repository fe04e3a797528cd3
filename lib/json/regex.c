/*
 * ECMA-262 patterns in PCRE2's syntax. Most are the same; rewritten are those escapes that mean
 * something else there: \s and \S (ECMA counts all Unicode spaces), \d and \w stay ASCII, \cX,
 * \uXXXX pairs, long names of general categories, and PCRE2's own escapes, which are refused.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "json/regex.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Steps that one match may take; a malicious text then fails with its own reason. */
#define MATCH_LIMIT 1000000
#define DEPTH_LIMIT 5000
#define HEAP_LIMIT_KIB 16384

struct slj_regex {
    pcre2_code *code;
};

struct slj_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"               \
    "\\x{205f}\\x{3000}\\x{feff}"

static const char *const category_names[][2] = {
    {"Cased_Letter", "L&"},
    {"Close_Punctuation", "Pe"},
    {"Connector_Punctuation", "Pc"},
    {"Control", "Cc"},
    {"Currency_Symbol", "Sc"},
    {"Dash_Punctuation", "Pd"},
    {"Decimal_Number", "Nd"},
    {"Enclosing_Mark", "Me"},
    {"Final_Punctuation", "Pf"},
    {"Format", "Cf"},
    {"Initial_Punctuation", "Pi"},
    {"Letter", "L"},
    {"Letter_Number", "Nl"},
    {"Line_Separator", "Zl"},
    {"Lowercase_Letter", "Ll"},
    {"Mark", "M"},
    {"Math_Symbol", "Sm"},
    {"Modifier_Letter", "Lm"},
    {"Modifier_Symbol", "Sk"},
    {"Nonspacing_Mark", "Mn"},
    {"Number", "N"},
    {"Open_Punctuation", "Ps"},
    {"Other", "C"},
    {"Other_Letter", "Lo"},
    {"Other_Number", "No"},
    {"Other_Punctuation", "Po"},
    {"Other_Symbol", "So"},
    {"Paragraph_Separator", "Zp"},
    {"Private_Use", "Co"},
    {"Punctuation", "P"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Spacing_Mark", "Mc"},
    {"Surrogate", "Cs"},
    {"Symbol", "S"},
    {"Titlecase_Letter", "Lt"},
    {"Unassigned", "Cn"},
    {"Uppercase_Letter", "Lu"},
    {"digit", "Nd"},
    {"punct", "P"},
};

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* \uXXXX or \u{X...} at p (behind the 'u'); returns bytes read, 0 when malformed. */
static size_t unicode_escape(const char *p, size_t left, sl_buffer *out) {
    if (left > 2 && p[0] == '{') {
        const char *close = memchr(p, '}', left);
        if (close == NULL || close == p + 1) {
            return 0;
        }
        for (const char *q = p + 1; q < close; q++) {
            if (!is_hex(*q)) {
                return 0;
            }
        }
        sl_buffer_printf(out, "\\x{%.*s}", (int)(close - p - 1), p + 1);
        return (size_t)(close - p) + 1;
    }
    char digits[5] = {0};
    if (left < 4 || !is_hex(p[0]) || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3])) {
        return 0;
    }
    memcpy(digits, p, 4);
    unsigned long unit = strtoul(digits, NULL, 16);
    if (unit >= 0xD800 && unit <= 0xDBFF && left >= 10 && p[4] == '\\' && p[5] == 'u') {
        memcpy(digits, p + 6, 4);
        unsigned long low = strtoul(digits, NULL, 16);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            sl_buffer_printf(out, "\\x{%lx}", 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
            return 10;
        }
    }
    sl_buffer_printf(out, "\\x{%lx}", unit);
    return 4;
}

/* \p{...} at p (on the brace); returns bytes read, 0 when it is not of that form. */
static size_t property_escape(const char *p, size_t left, char kind, sl_buffer *out) {
    const char *close = left > 0 && *p == '{' ? memchr(p, '}', left) : NULL;
    if (close == NULL) {
        return 0;
    }
    const char *name = p + 1;
    size_t bytes = (size_t)(close - name);
    static const char *const prefixes[] = {
        "General_Category=", "gc=", "Script=", "sc=", "Script_Extensions=", "scx="};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(prefixes); i++) {
        size_t n = strlen(prefixes[i]);
        if (bytes > n && memcmp(name, prefixes[i], n) == 0) {
            name += n;
            bytes -= n;
            break;
        }
    }
    for (size_t i = 0; i < SL_ARRAY_LENGTH(category_names); i++) {
        if (strlen(category_names[i][0]) == bytes &&
            memcmp(category_names[i][0], name, bytes) == 0) {
            name = category_names[i][1];
            bytes = strlen(name);
            break;
        }
    }
    sl_buffer_printf(out, "\\%c{%.*s}", kind, (int)bytes, name);
    return (size_t)(close - p) + 1;
}

/* One escape, p on the character behind the backslash; returns bytes read, 0 when refused. */
static size_t translate_escape(const char *p, size_t left, bool in_class, sl_buffer *out) {
    size_t read;
    switch (*p) {
    case 's':
        sl_buffer_append_text(out, in_class ? SPACES : "[" SPACES "]");
        return 1;
    case 'S':
        if (in_class) {
            return 0; /* PCRE2 has no such class inside a class */
        }
        sl_buffer_append_text(out, "[^" SPACES "]");
        return 1;
    case 'u':
        read = unicode_escape(p + 1, left - 1, out);
        return read == 0 ? 0 : read + 1;
    case 'p':
    case 'P':
        read = property_escape(p + 1, left - 1, *p, out);
        return read == 0 ? 0 : read + 1;
    case 'c':
        if (left < 2 || !((p[1] | 0x20) >= 'a' && (p[1] | 0x20) <= 'z')) {
            return 0;
        }
        sl_buffer_printf(out, "\\x%02x", p[1] & 0x1F);
        return 2;
    case 'v':
        sl_buffer_append_text(out, "\\x0b");
        return 1;
    case '/':
    case '-':
        sl_buffer_printf(out, "\\%c", *p);
        return 1;
    default:
        break;
    }
    /* letters that ECMA-262 has no escape for are errors, not PCRE2's extensions */
    bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
    if (letter && strchr("bBdDwWfnrtxk", *p) == NULL) {
        return 0;
    }
    sl_buffer_printf(out, "\\%c", *p);
    return 1;
}

static bool translate(const char *pattern, size_t bytes, sl_buffer *out, char *message) {
    bool in_class = false;
    for (size_t i = 0; i < bytes;) {
        char c = pattern[i];
        if (c == '\\') {
            size_t read =
                i + 1 < bytes ? translate_escape(pattern + i + 1, bytes - i - 1, in_class, out) : 0;
            if (read == 0) {
                snprintf(message, 256, "at byte %zu: this escape is not one of ECMA-262", i);
                return false;
            }
            i += 1 + read;
            continue;
        }
        if (c == '[' && in_class) {
            sl_buffer_append_byte(out, '\\'); /* no POSIX classes */
        } else if (c == '[') {
            in_class = true;
        } else if (c == ']') {
            in_class = false;
        } else if (c == '(' && i + 2 < bytes && pattern[i + 1] == '?' &&
                   strchr(":=!<", pattern[i + 2]) == NULL) {
            snprintf(message, 256, "at byte %zu: this group is not one of ECMA-262", i);
            return false;
        }
        sl_buffer_append_byte(out, (uint8_t)c);
        i++;
    }
    return true;
}

slj_regex *slj_regex_new(const void *pattern, size_t bytes, char *message) {
    sl_buffer text = SL_BUFFER_INIT;
    slj_regex *regex = NULL;
    int code = 0;
    size_t offset = 0;
    message[0] = 0;
    if (!translate(pattern, bytes, &text, message) || sl_buffer_text(&text) == NULL) {
        goto out;
    }
    regex = calloc(1, sizeof *regex);
    if (regex == NULL) {
        goto out;
    }
    regex->code = pcre2_compile(text.data, text.bytes,
                                PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY |
                                    PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF,
                                &code, &offset, NULL);
    if (regex->code == NULL) {
        if (code != PCRE2_ERROR_HEAP_FAILED) {
            pcre2_get_error_message(code, (PCRE2_UCHAR *)message, 256);
        }
        free(regex);
        regex = NULL;
        goto out;
    }
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it, matching interprets */
out:
    sl_buffer_free(&text);
    return regex;
}

void slj_regex_free(slj_regex *regex) {
    if (regex != NULL) {
        pcre2_code_free(regex->code);
        free(regex);
    }
}

slj_matcher *slj_matcher_new(void) {
    slj_matcher *matcher = calloc(1, sizeof *matcher);
    if (matcher == NULL) {
        return NULL;
    }
    matcher->data = pcre2_match_data_create(1, NULL);
    matcher->context = pcre2_match_context_create(NULL);
    if (matcher->data == NULL || matcher->context == NULL) {
        slj_matcher_free(matcher);
        return NULL;
    }
    pcre2_set_match_limit(matcher->context, MATCH_LIMIT);
    pcre2_set_depth_limit(matcher->context, DEPTH_LIMIT);
    pcre2_set_heap_limit(matcher->context, HEAP_LIMIT_KIB);
    return matcher;
}

void slj_matcher_free(slj_matcher *matcher) {
    if (matcher != NULL) {
        pcre2_match_data_free(matcher->data);
        pcre2_match_context_free(matcher->context);
        free(matcher);
    }
}

slj_regex_result slj_regex_match(const slj_regex *regex, slj_matcher *matcher, const void *text,
                                 size_t bytes) {
    int result = pcre2_match(regex->code, text, bytes, 0, PCRE2_NO_UTF_CHECK, matcher->data,
                             matcher->context);
    if (result >= 0) {
        return SLJ_REGEX_MATCH;
    }
    return result == PCRE2_ERROR_NOMATCH ? SLJ_REGEX_NO_MATCH : SLJ_REGEX_LIMIT;
}
