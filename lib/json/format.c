/*
 * The formats of JSON Schema Validation, section 7.3, as assertions. Internationalised host names
 * and mail addresses are checked for their structure, not against IDNA's tables of characters.
 */
#include <ctype.h>

#include "json/schema.h"
#include "json/temporal.h"

typedef bool (*format_check)(const uint8_t *text, size_t bytes);

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static bool is_alpha(uint8_t c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_alnum(uint8_t c) {
    return is_digit(c) || is_alpha(c);
}

static bool is_hex(uint8_t c) {
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* ---- times ---- */

static bool is_date_time(const uint8_t *text, size_t bytes) {
    int64_t us;
    return slj_parse_date_time(text, bytes, &us);
}

static bool is_date(const uint8_t *text, size_t bytes) {
    int32_t days;
    return slj_parse_date(text, bytes, &days);
}

static bool is_time(const uint8_t *text, size_t bytes) {
    int64_t us;
    return slj_parse_time(text, bytes, &us);
}

/* RFC 3339, appendix A: units in order, none left out in between. */
static bool is_duration(const uint8_t *text, size_t bytes) {
    const char *units = "YMWD";
    size_t at = 1;
    bool any = false, weeks = false, time = false;
    const char *last = NULL;
    if (bytes < 3 || text[0] != 'P') {
        return false;
    }
    while (at < bytes) {
        if (text[at] == 'T' && !time) {
            time = true;
            units = "HMS";
            last = NULL;
            at++;
            if (at == bytes || weeks) {
                return false;
            }
            continue;
        }
        size_t first = at;
        while (at < bytes && is_digit(text[at])) {
            at++;
        }
        const char *unit = at == first || at == bytes ? NULL : strchr(units, text[at]);
        if (unit == NULL || *unit == 0 || (last != NULL && unit <= last)) {
            return false;
        }
        /* "P1Y2D" leaves the month out; weeks stand alone */
        bool gap = last != NULL && unit != last + 1 && !(*last == 'M' && *unit == 'D');
        if (gap || (*unit == 'W' && any) || weeks) {
            return false;
        }
        weeks = *unit == 'W';
        any = true;
        last = unit;
        at++;
    }
    return any;
}

/* ---- hosts and addresses ---- */

static bool is_ipv4(const uint8_t *text, size_t bytes) {
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (at >= bytes || text[at++] != '.')) {
            return false;
        }
        size_t first = at;
        unsigned value = 0;
        while (at < bytes && is_digit(text[at]) && at - first < 3) {
            value = value * 10 + text[at++] - '0';
        }
        if (at == first || value > 255 || (at - first > 1 && text[first] == '0')) {
            return false;
        }
    }
    return at == bytes;
}

static bool is_ipv6(const uint8_t *text, size_t bytes) {
    unsigned groups = 0;
    bool gap = false;
    size_t at = 0;
    if (bytes >= 2 && text[0] == ':' && text[1] == ':') {
        gap = true;
        at = 2;
    }
    while (at < bytes) {
        size_t first = at;
        while (at < bytes && is_hex(text[at]) && at - first < 4) {
            at++;
        }
        if (at < bytes && text[at] == '.') {
            groups += 2;
            at = bytes;
            if (!is_ipv4(text + first, bytes - first)) {
                return false;
            }
            break;
        }
        if (at == first) {
            return false;
        }
        groups++;
        if (at == bytes) {
            break;
        }
        if (text[at++] != ':' || at == bytes) {
            return false;
        }
        if (text[at] == ':') {
            if (gap) {
                return false;
            }
            gap = true;
            at++;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

static bool is_label(const uint8_t *text, size_t bytes, bool international) {
    if (bytes == 0 || bytes > 63 || text[0] == '-' || text[bytes - 1] == '-') {
        return false;
    }
    bool ace = bytes >= 4 && (text[0] | 0x20) == 'x' && (text[1] | 0x20) == 'n';
    if (bytes >= 4 && text[2] == '-' && text[3] == '-' && (!ace || bytes == 4)) {
        return false; /* reserved (RFC 5891, 4.2.3.1), but for A-labels */
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!is_alnum(text[i]) && text[i] != '-' && !(international && text[i] >= 0x80)) {
            return false;
        }
    }
    return true;
}

static bool is_host(const uint8_t *text, size_t bytes, bool international) {
    size_t first = 0;
    if (bytes == 0 || bytes > 253) {
        return false;
    }
    for (size_t i = 0; i <= bytes; i++) {
        if (i == bytes || text[i] == '.') {
            if (!is_label(text + first, i - first, international)) {
                return false;
            }
            first = i + 1;
        }
    }
    return true;
}

static bool is_hostname(const uint8_t *text, size_t bytes) {
    return is_host(text, bytes, false);
}

static bool is_idn_hostname(const uint8_t *text, size_t bytes) {
    return is_host(text, bytes, true);
}

static bool is_mail(const uint8_t *text, size_t bytes, bool international) {
    size_t at = bytes;
    while (at > 0 && text[at - 1] != '@') {
        at--;
    }
    if (at < 2) {
        return false;
    }
    const uint8_t *host = text + at;
    size_t host_bytes = bytes - at, local = at - 1;
    if (text[0] == '"') {
        if (local < 3 || text[local - 1] != '"') {
            return false;
        }
        for (size_t i = 1; i + 1 < local; i++) {
            i += text[i] == '\\' && i + 2 < local;
            if (text[i] == '"' && text[i - 1] != '\\') {
                return false;
            }
        }
    } else {
        for (size_t i = 0; i < local; i++) {
            bool dot = text[i] == '.' && i > 0 && i + 1 < local && text[i - 1] != '.';
            bool other = text[i] != 0 && strchr("!#$%&'*+-/=?^_`{|}~", text[i]) != NULL;
            if (!dot && !other && !is_alnum(text[i]) && !(international && text[i] >= 0x80)) {
                return false;
            }
        }
    }
    if (host_bytes > 2 && host[0] == '[' && host[host_bytes - 1] == ']') {
        bool six = host_bytes > 7 && memcmp(host + 1, "IPv6:", 5) == 0;
        return six ? is_ipv6(host + 6, host_bytes - 7) : is_ipv4(host + 1, host_bytes - 2);
    }
    return is_host(host, host_bytes, international);
}

static bool is_email(const uint8_t *text, size_t bytes) {
    return is_mail(text, bytes, false);
}

static bool is_idn_email(const uint8_t *text, size_t bytes) {
    return is_mail(text, bytes, true);
}

/* ---- URIs ---- */

/* Characters of RFC 3986 (or 3987), with `extra` ones, and well-formed percent escapes. */
static bool uri_text(const uint8_t *text, size_t bytes, const char *extra, bool international) {
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = text[i];
        if (c == '%') {
            if (i + 2 >= bytes || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) {
                return false;
            }
            i += 2;
            continue;
        }
        bool plain = is_alnum(c) || (c != 0 && strchr("-._~!$&'()*+,;=", c) != NULL) ||
                     (c != 0 && strchr(extra, c) != NULL) || (international && c >= 0x80);
        if (!plain) {
            return false;
        }
    }
    return true;
}

static size_t span_until(const uint8_t *text, size_t bytes, const char *stops) {
    size_t n = 0;
    while (n < bytes && (text[n] == 0 || strchr(stops, text[n]) == NULL)) {
        n++;
    }
    return n;
}

static bool is_authority(const uint8_t *text, size_t bytes, bool international) {
    for (size_t i = bytes; i > 0; i--) {
        if (text[i - 1] == '@') {
            if (!uri_text(text, i - 1, ":", international)) {
                return false;
            }
            text += i;
            bytes -= i;
            break;
        }
    }
    size_t host = 0;
    if (bytes > 0 && text[0] == '[') {
        host = span_until(text, bytes, "]");
        bool future = host > 1 && (text[1] | 0x20) == 'v';
        if (host == bytes || (!future && !is_ipv6(text + 1, host - 1))) {
            return false;
        }
        host++;
    } else {
        host = span_until(text, bytes, ":");
        if (!uri_text(text, host, "", international)) {
            return false;
        }
    }
    if (host < bytes && text[host] != ':') {
        return false;
    }
    for (size_t i = host + 1; i < bytes; i++) {
        if (!is_digit(text[i])) {
            return false;
        }
    }
    return true;
}

static size_t scheme_bytes(const uint8_t *text, size_t bytes) {
    size_t n = 0;
    while (n < bytes && (is_alnum(text[n]) || (n > 0 && strchr("+-.", text[n]) != NULL))) {
        n++;
    }
    return n > 0 && n < bytes && text[n] == ':' && is_alpha(text[0]) ? n : 0;
}

static bool uri_reference(const uint8_t *text, size_t bytes, bool absolute, bool international) {
    size_t scheme = scheme_bytes(text, bytes);
    if (scheme > 0) {
        text += scheme + 1;
        bytes -= scheme + 1;
    } else if (absolute) {
        return false;
    }
    if (bytes >= 2 && text[0] == '/' && text[1] == '/') {
        size_t authority = span_until(text + 2, bytes - 2, "/?#");
        if (!is_authority(text + 2, authority, international)) {
            return false;
        }
        text += 2 + authority;
        bytes -= 2 + authority;
    } else if (scheme == 0) {
        size_t first = span_until(text, bytes, "/?#:");
        if (first < bytes && text[first] == ':') {
            return false; /* a colon in the first segment would make it a scheme */
        }
    }
    size_t path = span_until(text, bytes, "?#");
    size_t query = path + span_until(text + path, bytes - path, "#");
    return uri_text(text, path, "/:@", international) &&
           (query == path || uri_text(text + path + 1, query - path - 1, "/:@?", international)) &&
           (query == bytes || uri_text(text + query + 1, bytes - query - 1, "/:@?", international));
}

static bool is_uri(const uint8_t *text, size_t bytes) {
    return uri_reference(text, bytes, true, false);
}

static bool is_uri_reference(const uint8_t *text, size_t bytes) {
    return uri_reference(text, bytes, false, false);
}

static bool is_iri(const uint8_t *text, size_t bytes) {
    return uri_reference(text, bytes, true, true);
}

static bool is_iri_reference(const uint8_t *text, size_t bytes) {
    return uri_reference(text, bytes, false, true);
}

/* RFC 6570: braces in pairs around variable lists. */
static bool is_uri_template(const uint8_t *text, size_t bytes) {
    bool inside = false;
    size_t first = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = text[i];
        if (c == '{') {
            if (inside) {
                return false;
            }
            inside = true;
            first = i + 1;
            i += i + 1 < bytes && text[i + 1] != 0 && strchr("+#./;?&=,!@|", text[i + 1]) != NULL;
        } else if (c == '}') {
            if (!inside || i == first) {
                return false;
            }
            inside = false;
        } else if (inside) {
            if (!is_alnum(c) && (c == 0 || strchr("_.%,:*", c) == NULL)) {
                return false;
            }
        } else if (c <= ' ' || strchr("\"'<>\\^`|", c) != NULL) {
            return false;
        }
    }
    return !inside;
}

/* ---- others ---- */

static bool is_json_pointer(const uint8_t *text, size_t bytes) {
    if (bytes > 0 && text[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '~' && (i + 1 == bytes || (text[i + 1] != '0' && text[i + 1] != '1'))) {
            return false;
        }
    }
    return true;
}

static bool is_relative_json_pointer(const uint8_t *text, size_t bytes) {
    size_t n = 0;
    while (n < bytes && is_digit(text[n])) {
        n++;
    }
    if (n == 0 || (n > 1 && text[0] == '0')) {
        return false;
    }
    return (bytes == n + 1 && text[n] == '#') || is_json_pointer(text + n, bytes - n);
}

static bool is_uuid(const uint8_t *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !is_hex(text[i])) {
            return false;
        }
    }
    return bytes == 36;
}

static bool is_regex(const uint8_t *text, size_t bytes) {
    char message[256];
    slj_regex *regex = slj_regex_new(text, bytes, message);
    slj_regex_free(regex);
    return regex != NULL;
}

static const struct {
    const char *name;
    format_check check;
} formats[] = {
    {"date-time", is_date_time},
    {"date", is_date},
    {"time", is_time},
    {"duration", is_duration},
    {"email", is_email},
    {"idn-email", is_idn_email},
    {"hostname", is_hostname},
    {"idn-hostname", is_idn_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"uri", is_uri},
    {"uri-reference", is_uri_reference},
    {"iri", is_iri},
    {"iri-reference", is_iri_reference},
    {"uri-template", is_uri_template},
    {"json-pointer", is_json_pointer},
    {"relative-json-pointer", is_relative_json_pointer},
    {"uuid", is_uuid},
    {"regex", is_regex},
};

bool slj_format_holds(const uint8_t *name, size_t name_bytes, const uint8_t *text, size_t bytes) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(formats); i++) {
        if (strlen(formats[i].name) == name_bytes &&
            memcmp(formats[i].name, name, name_bytes) == 0) {
            return formats[i].check(text, bytes);
        }
    }
    return true;
}
