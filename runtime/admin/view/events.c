/* GET /v1/events: the last lines of the log, level INFO and above. */
#include "host/events.h"

#include "admin/handlers.h"

#include <time.h>

static void write_time(struct json_out *out, int64_t time_us) {
    time_t seconds = (time_t)(time_us / 1000000);
    struct tm parts;
    char text[32] = "";
    char whole[48];
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    }
    (void)snprintf(whole, sizeof(whole), "%s.%03dZ", text, (int)(time_us / 1000 % 1000));
    json_out_member(out, "time", whole);
}

static void write_event(void *arg, const struct event *event) {
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    struct json_out *out = arg;
    json_out_object(out);
    json_out_member_integer(out, "number", event->number);
    write_time(out, event->time_us);
    json_out_member(out, "level", levels[event->level]);
    json_out_member(out, "node", event->node);
    json_out_key(out, "message");
    json_out_masked(out, event->text);
    json_out_end_object(out);
}

void answer_events(struct exchange *exchange) {
    const char *text = exchange->query(exchange, "after", 0);
    int64_t after = 0;
    if (text != NULL && (!sl_parse_i64(text, strlen(text), &after) || after < 0)) {
        exchange_fail(exchange, 400, "after is \"%s\"; allowed is the number of an event, from 0",
                      text);
        return;
    }
    struct json_out out = exchange_writer(exchange);
    json_out_array(&out);
    events_list(exchange->host->events, after, write_event, &out);
    json_out_end_array(&out);
    exchange_json(exchange, 200, &out);
}
