/*
 * What a client's error means for an operator: what was found, where, and what to do. librdkafka's
 * own texts name the broker and the step; which of the settings is wrong has to be told from the
 * code, the step, and (for certificates) OpenSSL's number.
 */
#include "link.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>

/* Before 2.6.1 librdkafka repeats its nonce in the last message of SCRAM (RFC 5802), which brokers
 * before 4.0 do not mind. */
#define SCRAM_RIGHT 0x020601ff

/* An error taken apart: "sasl_ssl://host:9093/bootstrap: what (after 5ms in state X)". */
struct told {
    char where[128];
    char what[400];
    const char *protocol;
    const char *mechanism;
    const char *user;
    char values[3][128];
};

static const char *property(const rd_kafka_t *client, const char *name, char *out, size_t bytes) {
    return rd_kafka_conf_get(rd_kafka_conf((rd_kafka_t *)(uintptr_t)client), name, out, &bytes) ==
                   RD_KAFKA_CONF_OK
               ? out
               : "";
}

static void take_apart(const rd_kafka_t *client, const char *bootstrap, const char *text,
                       struct told *told) {
    const char *scheme = strstr(text, "://");
    const char *host = scheme == NULL ? text : scheme + 3;
    const char *colon = strstr(host, ": ");
    size_t bytes = strcspn(host, "/ ");
    bool names_broker = colon != NULL && host[bytes] == '/' && host + bytes < colon;
    snprintf(told->where, sizeof(told->where), "%.*s",
             names_broker ? (int)bytes : (int)strlen(bootstrap), names_broker ? host : bootstrap);
    const char *what = names_broker ? colon + 2 : text;
    const char *after = strstr(what, " (after ");
    snprintf(told->what, sizeof(told->what), "%.*s",
             after == NULL ? (int)strlen(what) : (int)(after - what), what);
    size_t n = sizeof(told->values[0]);
    told->protocol = property(client, "security.protocol", told->values[0], n);
    told->mechanism = property(client, "sasl.mechanism", told->values[1], n);
    told->user = property(client, "sasl.username", told->values[2], n);
}

static bool speaks_of(const struct told *told, const char *words) {
    return strstr(told->what, words) != NULL;
}

static void explain_certificate(const struct told *told, int x509_error, sl_buffer *out) {
    switch (x509_error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        sl_buffer_printf(out,
                         "the certificate of %s is made out to another host name: write a name "
                         "that it has in \"bootstrap.servers\" (and in the broker's "
                         "advertised.listeners)",
                         told->where);
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        sl_buffer_printf(out,
                         "the certificate of %s, or of its authority, %s: renew it, or set this "
                         "machine's clock",
                         told->where,
                         x509_error == X509_V_ERR_CERT_HAS_EXPIRED ? "has expired"
                                                                   : "is not valid yet");
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        sl_buffer_printf(out,
                         "the certificate of %s is signed by an authority that is not known "
                         "here: name the file with that authority's certificate in "
                         "\"ssl.ca.location\", beside \"bootstrap.servers\"",
                         told->where);
        return;
    default:
        sl_buffer_printf(out, "the certificate of %s is refused (X.509 error %d): %s", told->where,
                         x509_error, told->what);
    }
}

static enum kafka_verdict explain_tls(const struct told *told, int x509_error, sl_buffer *out) {
    if (x509_error != 0) {
        explain_certificate(told, x509_error, out);
        return KAFKA_REFUSED;
    }
    if (speaks_of(told, "alert")) {
        sl_buffer_printf(out,
                         "%s refuses our side of TLS (%s): when it wants a client certificate, "
                         "name one that it trusts in \"ssl.certificate.location\" and its key in "
                         "\"ssl.key.location\", beside \"bootstrap.servers\"",
                         told->where, told->what);
        return KAFKA_REFUSED;
    }
    if (speaks_of(told, "PLAINTEXT broker listener") || speaks_of(told, "unexpected eof") ||
        speaks_of(told, "Disconnected") || speaks_of(told, "wrong version number")) {
        sl_buffer_printf(out,
                         "%s ends the connection when TLS begins (\"security.protocol\" is %s): "
                         "unless the broker is going down, its port does not speak TLS; write "
                         "the one that does in \"bootstrap.servers\", or another protocol",
                         told->where, told->protocol);
        return speaks_of(told, "wrong version number") ? KAFKA_REFUSED : KAFKA_SUSPECT;
    }
    sl_buffer_printf(out, "TLS with %s fails: %s", told->where, told->what);
    return KAFKA_SUSPECT;
}

static enum kafka_verdict explain_login(const struct told *told, sl_buffer *out) {
    if (speaks_of(told, "mechanism handshake failed")) {
        sl_buffer_printf(out, "%s does not take the SASL mechanism %s (%s): set \"sasl.mechanism\"",
                         told->where, told->mechanism, told->what);
    } else if (speaks_of(told, "acquire SASL OAUTHBEARER token")) {
        const char *why = strstr(told->what, "token: ");
        sl_buffer_printf(out,
                         "there is no token to log in to %s with; of "
                         "\"sasl.oauthbearer.token.file\": %s",
                         told->where, why == NULL ? told->what : why + 7);
        return KAFKA_HOPELESS; /* it is looked for again only after ten seconds */
    } else if (strcmp(told->mechanism, "OAUTHBEARER") == 0) {
        sl_buffer_printf(out,
                         "%s refuses our token (%s): check for which audience, by whom and "
                         "until when it was issued",
                         told->where, told->what);
    } else if (strncmp(told->mechanism, "SCRAM", 5) == 0 && rd_kafka_version() < SCRAM_RIGHT) {
        sl_buffer_printf(
            out,
            "%s does not let the user \"%s\" in by %s (%s): check \"sasl.username\" "
            "and \"sasl.password\", beside \"bootstrap.servers\"; if they are right, the "
            "broker is of Kafka 4.0 or later, where SCRAM needs librdkafka 2.6.1 or "
            "later (here: %s): use PLAIN or OAUTHBEARER over TLS",
            told->where, told->user, told->mechanism, told->what, rd_kafka_version_str());
    } else {
        sl_buffer_printf(out,
                         "%s does not let the user \"%s\" in by %s (%s): check "
                         "\"sasl.username\" and \"sasl.password\", beside \"bootstrap.servers\"",
                         told->where, told->user, told->mechanism, told->what);
    }
    return KAFKA_REFUSED;
}

enum kafka_verdict kafka_explain(const rd_kafka_t *client, const char *bootstrap,
                                 rd_kafka_resp_err_t code, const char *text, int x509_error,
                                 sl_buffer *out) {
    struct told told;
    take_apart(client, bootstrap, text, &told);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        return KAFKA_PASSING; /* each of them has said why */
    }
    if (code == RD_KAFKA_RESP_ERR__SSL || speaks_of(&told, "SSL routines")) {
        return explain_tls(&told, x509_error, out);
    }
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
        return explain_login(&told, out);
    }
    if (speaks_of(&told, "incorrect security.protocol") ||
        speaks_of(&told, "security.protocol is correctly")) {
        sl_buffer_printf(out,
                         "%s ends the connection at our first request (\"security.protocol\" is "
                         "%s): unless the broker is going down, its port wants %s; set the "
                         "protocol beside \"bootstrap.servers\"",
                         told.where, told.protocol, speaks_of(&told, "SASL") ? "SASL" : "TLS");
        return KAFKA_SUSPECT;
    }
    sl_buffer_printf(out, "%s: %s", told.where, told.what);
    return KAFKA_PASSING;
}
