/* Sending and waiting: for stores, whose operations block and run on pool threads. */
#include "http/http.h"

#include <pthread.h>
#include <stdlib.h>

struct wait {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    sl_http_answer *answer;
    sl_error *error;
};

sl_error *sl_http_answer_copy(const sl_http_response *response, sl_http_answer *out) {
    *out = (sl_http_answer){.response = *response};
    sl_buffer_append_text(&out->headers, response->headers);
    sl_buffer_append(&out->body, response->body, response->body_bytes);
    const char *headers = sl_buffer_text(&out->headers);
    if (headers == NULL || out->body.failed) {
        sl_http_answer_free(out);
        return sl_error_no_memory();
    }
    out->response.headers = headers;
    out->response.body = out->body.data;
    return NULL;
}

void sl_http_answer_free(sl_http_answer *answer) {
    sl_buffer_free(&answer->headers);
    sl_buffer_free(&answer->body);
    *answer = (sl_http_answer){0};
}

static void done(void *arg, const sl_http_response *response, sl_error *error) {
    struct wait *wait = arg;
    if (error == NULL) {
        error = sl_http_answer_copy(response, wait->answer);
    }
    pthread_mutex_lock(&wait->lock);
    wait->error = error;
    wait->done = true;
    pthread_cond_signal(&wait->changed);
    pthread_mutex_unlock(&wait->lock); /* the waiter's frame may be gone from here on */
}

sl_error *sl_http_perform(sl_http *http, const sl_http_request *request, sl_http_answer *out) {
    struct wait wait = {.answer = out};
    pthread_mutex_init(&wait.lock, NULL);
    pthread_cond_init(&wait.changed, NULL);
    sl_error *error = sl_http_send(http, request, done, &wait);
    if (error == NULL) {
        pthread_mutex_lock(&wait.lock);
        while (!wait.done) {
            pthread_cond_wait(&wait.changed, &wait.lock);
        }
        pthread_mutex_unlock(&wait.lock);
        error = wait.error;
    }
    pthread_cond_destroy(&wait.changed);
    pthread_mutex_destroy(&wait.lock);
    return error;
}
