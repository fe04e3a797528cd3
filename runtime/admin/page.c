/*
 * The dashboard: the files of dashboard/, which are inside the program, so that the page needs
 * nothing but the endpoint. Browsers get it at "/", where everybody else gets Kafka Connect's
 * answer.
 */
#include "admin/embed.h"
#include "admin/handlers.h"

#include <stdlib.h>
#include <strings.h>

/* Everything comes from the endpoint itself, nothing is inline, nobody may frame the page. */
#define SECURITY_POLICY                                                                            \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "                    \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "            \
    "require-trusted-types-for 'script'"

/* FILES(symbol, name, content type) */
#define FILES(X)                                                                                   \
    X(dashboard_index, "index.html", "text/html; charset=utf-8")                                   \
    X(dashboard_style, "dashboard.css", "text/css; charset=utf-8")                                 \
    X(dashboard_icon, "icon.svg", "image/svg+xml")                                                 \
    X(dashboard_main, "dashboard.js", "text/javascript; charset=utf-8")                            \
    X(dashboard_model, "model.js", "text/javascript; charset=utf-8")                               \
    X(dashboard_layout, "layout.js", "text/javascript; charset=utf-8")                             \
    X(dashboard_graph, "graph.js", "text/javascript; charset=utf-8")                               \
    X(dashboard_chart, "chart.js", "text/javascript; charset=utf-8")                               \
    X(dashboard_format, "format.js", "text/javascript; charset=utf-8")

#define EMBED_FILE(symbol, name, type) EMBED(symbol, "dashboard/" name)
FILES(EMBED_FILE)

struct page_file {
    const char *name;
    const char *content_type;
    const uint8_t *begin;
    const uint8_t *end;
};

#define ENTRY(symbol, name, type) {name, type, symbol, symbol##_end},
static const struct page_file files[] = {FILES(ENTRY)};

static void answer_file(struct exchange *exchange, const struct page_file *file) {
    exchange->status = 200;
    exchange->content_type = file->content_type;
    exchange->security_policy = SECURITY_POLICY;
    (void)sl_buffer_append(&exchange->body, file->begin, (size_t)(file->end - file->begin));
}

/* ---- what is preferred (RFC 9110, 12.5.1) ---- */

struct range {
    const char *type; /* "text/html", "text/" + "*", "*" + "/" + "*" */
    size_t type_bytes;
    double quality;
};

/* Takes the next media range off the header; false at its end. */
static bool next_range(const char **accept, struct range *out) {
    const char *at = *accept + strspn(*accept, ", \t");
    if (*at == 0) {
        return false;
    }
    size_t bytes = strcspn(at, ",");
    out->type = at;
    out->type_bytes = strcspn(at, ";, \t");
    out->quality = 1;
    for (const char *p = at; (p = memchr(p, ';', (size_t)(at + bytes - p))) != NULL;) {
        p++;
        p += strspn(p, " \t");
        if (strncasecmp(p, "q=", 2) == 0) {
            out->quality = strtod(p + 2, NULL);
        }
    }
    *accept = at + bytes;
    return true;
}

/* The quality that the most specific fitting range gives the type; 0: it is not wanted. */
static double quality_of(const char *accept, const char *type) {
    size_t major_bytes = strcspn(type, "/") + 1;
    double quality = 0;
    int best = 0;
    struct range range;
    while (next_range(&accept, &range)) {
        int fit = 0;
        if (range.type_bytes == strlen(type) && strncasecmp(range.type, type, strlen(type)) == 0) {
            fit = 3;
        } else if (range.type_bytes == major_bytes + 1 && range.type[major_bytes] == '*' &&
                   strncasecmp(range.type, type, major_bytes) == 0) {
            fit = 2;
        } else if (range.type_bytes == 3 && memcmp(range.type, "*/*", 3) == 0) {
            fit = 1;
        }
        if (fit > best) {
            best = fit;
            quality = range.quality;
        }
    }
    return quality;
}

/* ---- routes ---- */

void answer_front(struct exchange *exchange) {
    if (quality_of(exchange->accept, "text/html") >
        quality_of(exchange->accept, "application/json")) {
        answer_file(exchange, &files[0]);
    } else {
        answer_root(exchange);
    }
}

void answer_page_file(struct exchange *exchange) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(files); i++) {
        if (strcmp(files[i].name, exchange->parts[1]) == 0) {
            answer_file(exchange, &files[i]);
            return;
        }
    }
    exchange_fail(exchange, 404, "HTTP 404 Not Found");
}
