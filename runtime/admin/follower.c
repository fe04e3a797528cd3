/* Answers that go on (see follower.h): a queue of bytes that libmicrohttpd's reader empties; while
 * it is empty, the connection is suspended. */
#include "admin/follower.h"

#include <stdlib.h>

enum { QUEUE_BYTES = 1 << 20, BLOCK_BYTES = 16 * 1024, BEAT_MS = 3000 };

struct follower {
    struct admin *admin;
    struct MHD_Connection *connection;
    const struct follower_ops *ops;
    void *arg;
    sl_buffer queue;
    size_t sent; /* of the queue */
    bool suspended;
    bool ended;
    struct follower *next;
    struct follower **link; /* what points here */
};

/* ---- the list ---- */

static void beat(uv_timer_t *timer) {
    struct admin *admin = timer->data;
    for (struct follower *f = admin->followers, *next; f != NULL; f = next) {
        next = f->next;
        if (!f->ended && f->ops->beat != NULL) {
            f->ops->beat(f->arg);
        }
        (void)follower_send(f, NULL, NULL, 0);
    }
}

struct follower *follower_new(struct admin *admin, struct MHD_Connection *connection,
                              const struct follower_ops *ops, void *arg) {
    struct follower *follower = calloc(1, sizeof(*follower));
    if (follower == NULL) {
        return NULL;
    }
    *follower = (struct follower){
        .admin = admin, .connection = connection, .ops = ops, .arg = arg, .next = admin->followers};
    follower->link = &admin->followers;
    if (follower->next != NULL) {
        follower->next->link = &follower->next;
    }
    if (admin->followers == NULL) {
        uv_timer_start(&admin->beat, beat, BEAT_MS, BEAT_MS);
    }
    admin->followers = follower;
    return follower;
}

static void free_follower(void *arg) {
    struct follower *follower = arg;
    *follower->link = follower->next;
    if (follower->next != NULL) {
        follower->next->link = follower->link;
    }
    if (follower->admin->followers == NULL) {
        uv_timer_stop(&follower->admin->beat);
    }
    if (!follower->ended) {
        follower->ops->gone(follower->arg);
    }
    sl_buffer_free(&follower->queue);
    free(follower);
}

/* ---- the library's side ---- */

static ssize_t read_queue(void *arg, uint64_t position, char *out, size_t room) {
    (void)position;
    struct follower *follower = arg;
    size_t waiting = follower->queue.bytes - follower->sent;
    if (waiting == 0 && follower->ended) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (waiting == 0) {
        follower->suspended = true;
        MHD_suspend_connection(follower->connection);
        return 0;
    }
    size_t bytes = waiting < room ? waiting : room;
    memcpy(out, follower->queue.data + follower->sent, bytes);
    follower->sent += bytes;
    if (follower->sent == follower->queue.bytes) {
        follower->queue.bytes = follower->sent = 0;
    }
    return (ssize_t)bytes;
}

struct MHD_Response *follower_response(struct follower *follower) {
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_queue, follower, free_follower);
    if (response == NULL) {
        free_follower(follower);
    }
    return response;
}

/* ---- sending ---- */

static void go_on(struct follower *follower) {
    if (follower->suspended) {
        follower->suspended = false;
        MHD_resume_connection(follower->connection);
        admin_wake(follower->admin);
    }
}

bool follower_send(struct follower *follower, const char *event, const char *data, size_t bytes) {
    sl_buffer *queue = &follower->queue;
    size_t before = queue->bytes;
    if (follower->ended || bytes > QUEUE_BYTES || before - follower->sent > QUEUE_BYTES - bytes) {
        return false;
    }
    if (event == NULL) {
        sl_buffer_append_text(queue, ":\n\n");
    } else {
        sl_buffer_printf(queue, "event: %s\ndata: ", event);
        sl_buffer_append(queue, data, bytes);
        sl_buffer_append_text(queue, "\n\n");
    }
    bool good = !queue->failed;
    if (!good) {
        queue->bytes = before;
        queue->failed = false;
    }
    go_on(follower);
    return good;
}

void follower_end(struct follower *follower) {
    if (!follower->ended) {
        follower->ended = true;
        follower->ops->gone(follower->arg);
        go_on(follower);
    }
}

void followers_end(struct admin *admin) {
    for (struct follower *f = admin->followers; f != NULL; f = f->next) {
        follower_end(f);
    }
}
