/* sluice admin-user: makes an entry for the file that the topology's admin.users names. */
#include "admin/access/access.h"
#include "admin/access/password.h"
#include "cli/common.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

/* One line of the standard input, which a terminal does not show. */
static sl_error *read_password(char *out, int out_bytes) {
    struct termios before;
    bool terminal = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        struct termios hidden = before;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        (void)fputs("Password: ", stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    }
    bool good = fgets(out, out_bytes, stdin) != NULL;
    if (terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        (void)fputc('\n', stderr);
    }
    if (good) {
        out[strcspn(out, "\r\n")] = 0;
    }
    return good && *out != 0
               ? NULL
               : sl_error_new(SL_ERROR_CONFIG, "no password on the standard input; give it as one "
                                               "line, or make a token by --token");
}

static sl_error *hash_password(sl_buffer *hash) {
    char password[512];
    sl_error *error = read_password(password, sizeof(password));
    if (error == NULL) {
        error = password_make(password, PASSWORD_COST, hash);
    }
    OPENSSL_cleanse(password, sizeof(password));
    return error;
}

/* The token is shown once, apart from the entry. */
static sl_error *hash_token(const char *name, sl_buffer *hash) {
    sl_buffer secret = SL_BUFFER_INIT;
    sl_error *error = password_random_token(&secret);
    const char *text = error == NULL ? sl_buffer_text(&secret) : NULL;
    if (error == NULL) {
        error = text != NULL ? password_make(text, TOKEN_COST, hash) : sl_error_no_memory();
    }
    if (error == NULL) {
        (void)fprintf(stderr, "token: %s.%s\n", name, text);
    }
    sl_buffer_free(&secret);
    return error;
}

static int print_entry(const char *name, const char *role, bool token, sl_buffer *hash) {
    struct json_out out = {0};
    json_out_object(&out);
    json_out_member(&out, "name", name);
    json_out_member(&out, "role", role);
    json_out_member(&out, token ? "token" : "password", sl_buffer_text(hash));
    json_out_end_object(&out);
    return json_out_print(&out) ? CLI_DONE : CLI_FAILED;
}

static int run(const struct cli_args *args) {
    const char *name = args->operands[0];
    const char *role_text = args->operands[1];
    const bool token = cli_args_get(args, "--token") != NULL;
    enum access_role role;
    if (!access_parse_role(role_text, &role)) {
        return cli_fail(sl_error_new(
            SL_ERROR_CONFIG, "\"%s\" is no role; allowed are viewer, operator, admin", role_text));
    }
    if (*name == 0 || strchr(name, ':') != NULL) {
        return cli_fail(sl_error_new(SL_ERROR_CONFIG, "a user's name is not empty and holds no "
                                                      "colon"));
    }
    sl_buffer hash = SL_BUFFER_INIT;
    sl_error *error = token ? hash_token(name, &hash) : hash_password(&hash);
    int status = error == NULL ? print_entry(name, role_text, token, &hash) : cli_fail(error);
    sl_buffer_free(&hash);
    return status;
}

static const struct cli_option options[] = {
    {"--token", NULL, "make a random token, printed to stderr, instead of reading a password"},
    {NULL, NULL, NULL}};

const struct cli_command cli_admin_user_command = {
    .name = "admin-user",
    .operands = "NAME ROLE",
    .min_operands = 2,
    .max_operands = 2,
    .summary = "Make an entry for the file of admin.users, from a password on stdin.",
    .details = "ROLE: viewer (sees), operator (restarts nodes, too) or admin (everything). The "
               "file is\n{\"users\": [ENTRY, ...]}.",
    .options = options,
    .run = run,
};
