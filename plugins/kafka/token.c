/*
 * Tokens for SASL OAUTHBEARER (RFC 7628) from a file that somebody else keeps fresh: an agent, a
 * projected volume, a timer. It is read again at each refresh, which librdkafka asks for when four
 * fifths of a token's life are over. Of a JSON Web Token (RFC 7519) `exp` and `sub` are read; a
 * token of another form is taken to be good for some minutes, after which the file is read again.
 * The token itself is never said in a message.
 */
#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/doc.h"

#define TOKEN_MAX_BYTES 65536
#define OPAQUE_LIFE_MS 300000

struct token {
    char *text;    /* owned */
    char *subject; /* owned */
    int64_t expires_ms;
};

/* ---- JSON Web Tokens ---- */

static int base64url_digit(char c) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c == '\0' ? NULL : strchr(DIGITS, c);
    return at == NULL ? -1 : (int)(at - DIGITS);
}

/* Decodes up to the first byte that is no digit. */
static bool decode_base64url(const char *text, sl_buffer *out) {
    uint32_t bits = 0;
    int n_bits = 0;
    for (int digit = 0; (digit = base64url_digit(*text)) >= 0; text++) {
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            sl_buffer_append_byte(out, (uint8_t)(bits >> n_bits));
        }
    }
    return !out->failed;
}

/* Takes what the claims say; leaves the token as it is when they are none. */
static void read_claims(const sl_buffer *claims, struct token *token) {
    slj_doc doc = {.reader = {.max_depth = 64}};
    if (slj_doc_parse(&doc, claims->data, claims->bytes) && doc.nodes[0].kind == SLJ_OBJECT) {
        uint64_t expires_s = 0;
        uint32_t exp = slj_doc_get(&doc, 0, "exp");
        uint32_t sub = slj_doc_get(&doc, 0, "sub");
        if (exp != 0 && doc.nodes[exp].kind == SLJ_NUMBER &&
            slj_node_size(&doc.nodes[exp], &expires_s) && expires_s < INT64_MAX / 1000) {
            token->expires_ms = (int64_t)expires_s * 1000;
        }
        if (sub != 0 && doc.nodes[sub].kind == SLJ_STRING && doc.nodes[sub].bytes > 0) {
            token->subject = strndup((const char *)doc.nodes[sub].text, doc.nodes[sub].bytes);
        }
    }
    slj_doc_free(&doc);
}

static void look_inside(struct token *token) {
    sl_buffer claims = SL_BUFFER_INIT;
    const char *dot = strchr(token->text, '.');
    token->expires_ms = sl_now_us() / 1000 + OPAQUE_LIFE_MS;
    if (dot != NULL && decode_base64url(dot + 1, &claims) && claims.bytes > 0) {
        read_claims(&claims, token);
    }
    sl_buffer_free(&claims);
}

/* ---- the file ---- */

/* The file's one word. On failure NULL, and `why` says it. */
static char *read_word(const char *path, char *why, size_t why_bytes) {
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        snprintf(why, why_bytes, "it cannot be read: %s", strerror(errno));
        return NULL;
    }
    char *text = malloc(TOKEN_MAX_BYTES + 1);
    size_t bytes = text == NULL ? 0 : fread(text, 1, TOKEN_MAX_BYTES, file);
    fclose(file);
    while (bytes > 0 && strchr(" \t\r\n", text[bytes - 1]) != NULL) {
        bytes--;
    }
    if (bytes == 0) {
        snprintf(why, why_bytes, text == NULL ? "out of memory" : "it is empty");
        free(text);
        return NULL;
    }
    text[bytes] = '\0';
    if (bytes == TOKEN_MAX_BYTES || strcspn(text, " \t\r\n") != bytes) {
        snprintf(why, why_bytes, "it must hold one token and nothing else");
        free(text);
        return NULL;
    }
    return text;
}

static bool read_token(const char *path, struct token *token, char *why, size_t why_bytes) {
    *token = (struct token){.text = read_word(path, why, why_bytes)};
    if (token->text == NULL) {
        return false;
    }
    look_inside(token);
    int64_t now_ms = sl_now_us() / 1000;
    if (token->expires_ms <= now_ms) {
        snprintf(why, why_bytes, "its token expired %lld s ago; nobody has renewed it",
                 (long long)((now_ms - token->expires_ms) / 1000));
        return false;
    }
    return true;
}

static void on_refresh(rd_kafka_t *client, const char *config, void *opaque) {
    (void)config;
    struct kafka_link *link = opaque;
    struct token token;
    char why[256] = "";
    if (kafka_link_is_left(link)) {
        return; /* the section may be gone */
    }
    if (read_token(link->section->token_file, &token, why, sizeof(why)) &&
        rd_kafka_oauthbearer_set_token(client, token.text, token.expires_ms,
                                       token.subject != NULL ? token.subject : "sluice", NULL, 0,
                                       why, sizeof(why)) != RD_KAFKA_RESP_ERR_NO_ERROR &&
        why[0] == '\0') {
        snprintf(why, sizeof(why), "librdkafka does not take its token");
    }
    if (why[0] != '\0') {
        rd_kafka_oauthbearer_set_token_failure(client, why);
    }
    free(token.text);
    free(token.subject);
}

sl_error *kafka_token_conf(const struct kafka_section *section, rd_kafka_conf_t *conf) {
    if (section->token_file == NULL) {
        return NULL;
    }
    rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, on_refresh);
    rd_kafka_conf_enable_sasl_queue(conf, 1);
    return NULL;
}
