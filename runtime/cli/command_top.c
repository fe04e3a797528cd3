/* sluice top: the table of sluice status, drawn anew each second until q or Ctrl-C; with --json a
 * line a second. */
#include "cli/client.h"
#include "cli/common.h"
#include "cli/log.h"
#include "cli/status_table.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { PERIOD_MS = 1000 };

#define SCREEN_BEGIN "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define SCREEN_END "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H\033[J"

static volatile sig_atomic_t told_to_end;

static void on_signal(int number) {
    (void)number;
    told_to_end = 1;
}

/* ---- the terminal ---- */

struct screen {
    struct termios before;
    bool keys; /* standard input is a terminal too */
};

static void write_text(const void *text, size_t bytes) {
    (void)fwrite(text, 1, bytes, stdout);
    (void)fflush(stdout);
}

static void catch_signals(void) {
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static void screen_begin(struct screen *screen) {
    catch_signals();
    screen->keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &screen->before) == 0;
    if (screen->keys) {
        struct termios raw = screen->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    write_text(SCREEN_BEGIN, strlen(SCREEN_BEGIN));
}

static void screen_end(const struct screen *screen) {
    write_text(SCREEN_END, strlen(SCREEN_END));
    if (screen->keys) {
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
    }
}

/* Waits for the next turn; false when it is to end. */
static bool pause_or_end(const struct screen *screen) {
    struct pollfd key = {.fd = screen->keys ? STDIN_FILENO : -1, .events = POLLIN};
    int64_t until_us = sl_monotonic_us() + PERIOD_MS * 1000;
    for (;;) {
        int64_t left_us = until_us - sl_monotonic_us();
        if (told_to_end) {
            return false;
        }
        if (left_us <= 0) {
            return true;
        }
        if (poll(&key, 1, (int)(left_us / 1000) + 1) > 0) {
            char pressed;
            if (read(STDIN_FILENO, &pressed, 1) != 1 || pressed == 'q') {
                return false;
            }
        }
    }
}

/* ---- drawing ---- */

/* Draws the table, or the error (freed) below what the last one said. */
static void draw(const cJSON *status, const cJSON *before, sl_error *error) {
    sl_buffer out = SL_BUFFER_INIT;
    sl_buffer_append_text(&out, SCREEN_HOME);
    if (error == NULL) {
        error = status_table(status, before, log_colours(STDOUT_FILENO), &out);
    }
    if (error != NULL) {
        sl_buffer_printf(&out, "%s\n", sl_error_message(error));
        sl_error_free(error);
    }
    sl_buffer_append_text(&out, "\nq: end\n");
    write_text(out.data, out.bytes);
    sl_buffer_free(&out);
}

static sl_error *fetch(const struct client *client, cJSON **out) {
    sl_buffer answer = SL_BUFFER_INIT;
    sl_error *error = client_ask(client, "GET", "/v1/status", &answer);
    *out = error == NULL ? cJSON_ParseWithLength((const char *)answer.data, answer.bytes) : NULL;
    sl_buffer_free(&answer);
    return error;
}

/* What is away for a while is waited for: it may be started anew. */
static void draw_until_end(const struct client *client, cJSON *before) {
    struct screen screen;
    screen_begin(&screen);
    draw(before, NULL, NULL);
    while (pause_or_end(&screen)) {
        cJSON *status;
        sl_error *error = fetch(client, &status);
        draw(status, before, error);
        if (error == NULL) {
            cJSON_Delete(before);
            before = status;
        }
    }
    screen_end(&screen);
    cJSON_Delete(before);
}

/* ---- lines ---- */

static sl_error *print_line(const cJSON *status) {
    char *text = cJSON_PrintUnformatted(status);
    if (text == NULL) {
        return sl_error_no_memory();
    }
    sl_buffer out = SL_BUFFER_INIT;
    sl_buffer_printf(&out, "%s\n", text);
    cJSON_free(text);
    sl_error *error = cli_print(&out);
    sl_buffer_free(&out);
    return error;
}

/* As draw_until_end: what is away for a while is waited for, and that is told. */
static sl_error *print_until_end(const struct client *client, cJSON *status) {
    const struct screen none = {0};
    catch_signals();
    for (;;) {
        sl_error *error = status == NULL ? NULL : print_line(status);
        cJSON_Delete(status);
        if (error != NULL || !pause_or_end(&none)) {
            return error;
        }
        error = fetch(client, &status);
        if (error != NULL) {
            (void)cli_fail(error);
        }
    }
}

static int run(const struct cli_args *args) {
    bool json = cli_args_get(args, "--json") != NULL;
    if (!json && isatty(STDOUT_FILENO) != 1) {
        return cli_status_command.run(args);
    }
    const struct client client = client_of(args);
    cJSON *first;
    sl_error *error = fetch(&client, &first);
    if (error == NULL && json) {
        error = print_until_end(&client, first);
    } else if (error == NULL) {
        draw_until_end(&client, first);
    }
    return error == NULL ? CLI_DONE : cli_fail(error);
}

static const struct cli_option options[] = {CLI_ADMIN_OPTION, CLI_JSON_OPTION, {NULL, NULL, NULL}};

const struct cli_command cli_top_command = {
    .name = "top",
    .summary = "Watch the nodes of a running sluice; q or Ctrl-C ends it.",
    .details = "As sluice status, drawn anew each second, with the rates of that second. When the "
               "standard\noutput is no terminal it is printed once; with --json a line with what "
               "/v1/status answers each\nsecond, wherever it goes.",
    .options = options,
    .run = run,
};
