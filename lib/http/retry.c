/* When a request is tried again, and after how long. */
#include "http/http.h"

#include <curl/curl.h>
#include <stdlib.h>

#define FIRST_PAUSE_MS UINT64_C(100)
#define LONGEST_PAUSE_MS UINT64_C(10000)
#define LONGEST_ASKED_MS INT64_C(3600000)

bool sl_http_status_may_pass(int status) {
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

/* Decimal milliseconds or seconds; -1 when the header is not there or no number. */
static int64_t number_of(const sl_http_response *response, const char *name) {
    size_t bytes = 0;
    int64_t number = 0;
    const char *value = sl_http_header_value(response, name, &bytes);
    return value != NULL && sl_parse_i64(value, bytes, &number) && number >= 0 ? number : -1;
}

static int64_t date_ms(const sl_http_response *response, int64_t now_us) {
    size_t bytes = 0;
    char text[64];
    const char *value = sl_http_header_value(response, "retry-after", &bytes);
    if (value == NULL || bytes >= sizeof(text)) {
        return -1;
    }
    memcpy(text, value, bytes);
    text[bytes] = 0;
    time_t at = curl_getdate(text, NULL);
    return at == (time_t)-1 ? -1 : (int64_t)at * 1000 - now_us / 1000;
}

/* What the answer asks for, or -1. */
static int64_t asked_ms(const sl_http_response *response, int64_t now_us) {
    static const char *const names[] = {"retry-after-ms", "x-ms-retry-after-ms"};
    for (size_t i = 0; i < SL_ARRAY_LENGTH(names); i++) {
        int64_t ms = number_of(response, names[i]);
        if (ms >= 0) {
            return ms;
        }
    }
    int64_t seconds = number_of(response, "retry-after");
    if (seconds >= 0) {
        return seconds > LONGEST_ASKED_MS / 1000 ? LONGEST_ASKED_MS : seconds * 1000;
    }
    return date_ms(response, now_us);
}

uint64_t sl_http_retry_pause_ms(uint32_t attempt, const sl_http_response *response, uint64_t random,
                                int64_t now_us) {
    uint64_t most = LONGEST_PAUSE_MS;
    if (attempt >= 1 && attempt <= 7) {
        most = FIRST_PAUSE_MS << (attempt - 1);
    }
    uint64_t pause_ms = most / 2 + random % (most / 2 + 1);
    int64_t asked = response != NULL ? asked_ms(response, now_us) : -1;
    if (asked > LONGEST_ASKED_MS) {
        asked = LONGEST_ASKED_MS;
    }
    return asked > (int64_t)pause_ms ? (uint64_t)asked : pause_ms;
}

const char *sl_http_header_value(const sl_http_response *response, const char *name,
                                 size_t *bytes) {
    size_t name_bytes = strlen(name);
    for (const char *line = response->headers; *line != 0;) {
        size_t line_bytes = strcspn(line, "\n");
        if (line_bytes > name_bytes + 1 && memcmp(line, name, name_bytes) == 0 &&
            line[name_bytes] == ':') {
            const char *value = line + name_bytes + 2;
            *bytes = line_bytes - name_bytes - 2;
            return value;
        }
        line += line_bytes + (line[line_bytes] == '\n');
    }
    return NULL;
}
