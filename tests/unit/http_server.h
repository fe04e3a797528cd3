/* A server with a script, for tests of lib/http: it answers the nth request with the nth answer,
 * and remembers what it was asked. One connection at a time, on a thread of its own. */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Instead of an answer: */
#define SERVER_HANG_UP "hang up" /* read the request, close without a word */
#define SERVER_CUT "cut"         /* half an answer, then close */
#define SERVER_SILENT "silent"   /* no answer until the client goes */

enum { SERVER_REQUESTS = 32, SERVER_REQUEST_BYTES = 4096 };

struct server {
    int fd;
    int port;
    pthread_t thread;
    const char *const *script; /* NULL-ended; the last but NULL is repeated */
    char requests[SERVER_REQUESTS][SERVER_REQUEST_BYTES];
    size_t n_requests; /* read after server_stop, or when the client has its answer */
};

static size_t server_body_bytes(const char *head) {
    const char *header = strcasestr(head, "\r\ncontent-length:");
    return header != NULL ? (size_t)strtoull(header + 17, NULL, 10) : 0;
}

/* Reads one request; false when the client has gone. Only its beginning is kept. */
static int server_read(int fd, char *into) {
    size_t bytes = 0;
    char *end = NULL;
    while (end == NULL && bytes < SERVER_REQUEST_BYTES - 1) {
        ssize_t n = read(fd, into + bytes, SERVER_REQUEST_BYTES - 1 - bytes);
        if (n <= 0) {
            return 0;
        }
        bytes += (size_t)n;
        into[bytes] = 0;
        end = strstr(into, "\r\n\r\n");
    }
    size_t left = server_body_bytes(into) - (bytes - (size_t)(end + 4 - into));
    char rest[65536];
    while (left > 0) {
        ssize_t n = read(fd, rest, left < sizeof(rest) ? left : sizeof(rest));
        if (n <= 0) {
            return 0;
        }
        left -= (size_t)n;
    }
    return 1;
}

static const char *server_next(const struct server *server) {
    size_t i = 0;
    while (i < server->n_requests - 1 && server->script[i + 1] != NULL) {
        i++;
    }
    return server->script[i];
}

static void server_talk(struct server *server, int fd) {
    while (server->n_requests < SERVER_REQUESTS &&
           server_read(fd, server->requests[server->n_requests])) {
        server->n_requests++;
        const char *answer = server_next(server);
        if (strcmp(answer, SERVER_SILENT) == 0) {
            char byte;
            (void)!read(fd, &byte, 1);
            return;
        }
        if (strcmp(answer, SERVER_CUT) == 0) {
            static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
            (void)!write(fd, half, sizeof(half) - 1);
            return;
        }
        (void)!write(fd, answer, strlen(answer));
        if (strcasestr(answer, "content-length") == NULL) {
            return; /* it ends with the connection */
        }
    }
}

static void *server_main(void *arg) {
    struct server *server = arg;
    int fd;
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        server_talk(server, fd);
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *server, const char *const *script) {
    *server = (struct server){.script = script};
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(address);
    ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(server->fd, 8), 0);
    ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&address, &bytes), 0);
    server->port = ntohs(address.sin_port);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, server_main, server), 0);
}

/* Behind the client's close, which ends the connections. */
static void server_stop(struct server *server) {
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
}

#endif /* TESTS_HTTP_SERVER_H */
