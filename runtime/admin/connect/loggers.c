/* /admin/loggers: the log's level while it runs. There is one logger, "root". */
#include "admin/handlers.h"

#include <ctype.h>

/* Log4j's names, which Kafka Connect uses. */
static const char *const levels[] = {
    [SL_LOG_ERROR] = "ERROR",
    [SL_LOG_WARN] = "WARN",
    [SL_LOG_INFO] = "INFO",
    [SL_LOG_DEBUG] = "DEBUG",
};

static void write_logger(struct json_out *out, const struct exchange *exchange) {
    const struct host_options *options = exchange->host->options;
    json_out_object(out);
    json_out_member(out, "level", levels[options->log_level(options->log_arg)]);
    json_out_member(out, "last_modified", NULL);
    json_out_end_object(out);
}

static bool has_levels(const struct exchange *exchange) {
    return exchange->host->options->log_level != NULL &&
           exchange->host->options->set_log_level != NULL;
}

void answer_loggers(struct exchange *exchange) {
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    if (has_levels(exchange)) {
        json_out_key(&out, "root");
        write_logger(&out, exchange);
    }
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}

/* False after a 404. */
static bool is_logger(struct exchange *exchange) {
    if (has_levels(exchange) && strcmp(exchange->parts[2], "root") == 0) {
        return true;
    }
    exchange_fail(exchange, 404, "Logger %s not found.", exchange->parts[2]);
    return false;
}

void answer_logger(struct exchange *exchange) {
    if (is_logger(exchange)) {
        struct json_out out = exchange_writer(exchange);
        write_logger(&out, exchange);
        exchange_json(exchange, 200, &out);
    }
}

/* Upper or lower case. */
static bool parse_level(const char *text, sl_log_level *out) {
    for (size_t i = 0; i < SL_ARRAY_LENGTH(levels); i++) {
        size_t at = 0;
        while (text[at] != 0 && toupper((unsigned char)text[at]) == levels[i][at]) {
            at++;
        }
        if (text[at] == 0 && levels[i][at] == 0) {
            *out = (sl_log_level)i;
            return true;
        }
    }
    return false;
}

/* Answers the names of the loggers that were changed. */
void answer_set_logger(struct exchange *exchange) {
    struct arena arena = {0};
    const struct json_value *body = is_logger(exchange) ? exchange_object(exchange, &arena) : NULL;
    const struct json_value *level = body != NULL ? json_member(body, "level") : NULL;
    sl_log_level wanted;
    if (body == NULL) {
        arena_free(&arena);
        return;
    }
    if (level == NULL || level->kind != JSON_STRING || !parse_level(level->text, &wanted)) {
        exchange_fail(exchange, 400,
                      "\"level\" is missing or no level; allowed are ERROR, WARN, INFO, DEBUG");
        arena_free(&arena);
        return;
    }
    const struct host_options *options = exchange->host->options;
    /* before, since the audit's line may not be shown any more */
    host_log(exchange->host, SL_LOG_INFO, "audit", "%s at %s sets the log's level to %s",
             exchange->user != NULL ? exchange->user->name : "somebody", exchange->peer,
             levels[wanted]);
    options->set_log_level(options->log_arg, wanted);
    struct json_out out = exchange_writer(exchange);
    json_out_array(&out);
    json_out_string(&out, "root");
    json_out_end_array(&out);
    exchange_json(exchange, 200, &out);
    arena_free(&arena);
}
