/* /v1: sluice's own view, where Kafka Connect has none. */
#include "admin/handlers.h"
#include "host/snapshot_take.h"
#include "report/snapshot_json.h"

void answer_v1_status(struct exchange *exchange) {
    struct host_snapshot snapshot;
    if (!snapshot_take(exchange->host, &snapshot)) {
        exchange_fail(exchange, 500, "memory is short");
        return;
    }
    struct json_out out = exchange_writer(exchange);
    snapshot_json(&out, &snapshot);
    snapshot_free(&snapshot);
    exchange_json(exchange, 200, &out);
}

/* Who asks, and what he may do; where nobody is asked who he is, everything. */
void answer_user(struct exchange *exchange) {
    const struct access_user *user = exchange->user;
    struct json_out out = exchange_writer(exchange);
    json_out_object(&out);
    json_out_member(&out, "name", user != NULL ? user->name : NULL);
    json_out_member(&out, "role", access_role_name(user != NULL ? user->role : ACCESS_ADMIN));
    json_out_end_object(&out);
    exchange_json(exchange, 200, &out);
}
