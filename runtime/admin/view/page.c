/*
 * The dashboard: the files of dashboard/, which are inside the program, so that the page needs
 * nothing but the endpoint. Browsers get it at "/", where everybody else gets Kafka Connect's
 * answer.
 */
#include "admin/accept.h"
#include "admin/embed.h"
#include "admin/handlers.h"

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
    X(dashboard_live, "live.js", "text/javascript; charset=utf-8")                                 \
    X(dashboard_events, "events.js", "text/javascript; charset=utf-8")                             \
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

/* ---- routes ---- */

void answer_front(struct exchange *exchange) {
    if (accept_quality(exchange->accept, "text/html") >
        accept_quality(exchange->accept, "application/json")) {
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
