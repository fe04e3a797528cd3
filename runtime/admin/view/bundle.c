/*
 * GET /v1/bundle: what somebody who helps wants to know, in one document that may be sent away:
 * what the endpoint answers anyway, so secrets are masked as there, and what it runs on. No rows.
 */
#include "admin/handlers.h"

#include <sys/utsname.h>
#include <unistd.h>

/* What the handler answers, as a member: JSON as it is, other text as a string. */
static void write_part(struct exchange *exchange, struct json_out *out, const char *key,
                       void (*answer)(struct exchange *exchange), bool is_json) {
    exchange->status = 0;
    answer(exchange);
    const char *text = sl_buffer_text(&exchange->body);
    json_out_key(out, key);
    if (text == NULL) {
        json_out_string(out, NULL);
    } else if (is_json) {
        json_out_raw(out, text);
    } else {
        json_out_string(out, text);
    }
    sl_buffer_free(&exchange->body);
}

static void write_system(struct json_out *out) {
    struct utsname name = {0};
    (void)uname(&name);
    json_out_key(out, "system");
    json_out_object(out);
    json_out_member(out, "kernel", name.release);
    json_out_member(out, "machine", name.machine);
    json_out_member_integer(out, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    json_out_member_integer(out, "memory_bytes",
                            (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
    json_out_member(out, "libuv", uv_version_string());
    json_out_end_object(out);
}

void answer_bundle(struct exchange *exchange) {
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member(&out, "version", SL_VERSION);
    write_system(&out);
    write_part(exchange, &out, "ready", answer_ready, true);
    write_part(exchange, &out, "status", answer_v1_status, true);
    write_part(exchange, &out, "topology", answer_topology, true);
    write_part(exchange, &out, "plugins", answer_plugins, true);
    write_part(exchange, &out, "events", answer_events, true);
    write_part(exchange, &out, "metrics", answer_metrics, false);
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}
