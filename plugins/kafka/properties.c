/*
 * Checks property names and values against librdkafka itself: a scratch configuration takes them
 * or says why not, and its own table of properties gives the nearest right name.
 */
#include "properties.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Properties that sluice sets itself, since its delivery depends on them. */
static const struct reserved {
    const char *name;
    const char *why;
} RESERVED[] = {
    {"group.id", "is set by the option \"group\" of the source"},
    {"enable.auto.commit", "is set by sluice: positions belong to the nodes, not to the group"},
    {"auto.commit.enable", "is set by sluice: positions belong to the nodes, not to the group"},
    {"enable.auto.offset.store", "is set by sluice: positions belong to the nodes"},
    {"auto.offset.reset",
     "is set by sluice to \"error\"; the option \"start\" says where to begin"},
    {"enable.partition.eof", "is set by sluice: it tells the end of a partition"},
    {"partition.assignment.strategy", "is set by sluice to \"cooperative-sticky\""},
    {"isolation.level", "is set by the option \"isolation\" of the source"},
    {"enable.idempotence", "is set by sluice to true"},
    {"acks", "is set by sluice to \"all\""},
    {"request.required.acks", "is set by sluice to \"all\""},
    {"transactional.id", "is an option of the kafka sink"},
    {"delivery.report.only.error", "is set by sluice: every delivery is counted"},
    {"metadata.broker.list",
     "is written \"bootstrap.servers\" in the section \"kafka\", or in \"cluster\" of a node"},
    {"bootstrap.servers", "belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"sasl.password",
     "is a secret: it belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"ssl.key.password",
     "is a secret: it belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"ssl.key.pem",
     "is a secret: it belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"ssl.keystore.password",
     "is a secret: it belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"sasl.oauthbearer.config",
     "is a secret: it belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"sasl.oauthbearer.token.file",
     "belongs into the section \"kafka\", or into \"cluster\" of a node"},
    {"sasl.oauthbearer.method", "is not supported: write \"sasl.oauthbearer.token.file\" into the "
                                "section \"kafka\", or into \"cluster\" of a node"},
    {"sasl.oauthbearer.client.secret", "is not supported: write \"sasl.oauthbearer.token.file\" "
                                       "into the section \"kafka\", or into \"cluster\" of a node"},
    {"plugin.library.paths", "is not supported: librdkafka's own plugins would bypass sluice"},
};

static pthread_once_t names_once = PTHREAD_ONCE_INIT;
static char *names_text;
static const char **names;
static size_t n_names;

/* Keeps the first column of librdkafka's table of properties. */
static void collect_names(char *text) {
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *bar = strchr(line, '|');
        if (bar == NULL || line[0] < 'a' || line[0] > 'z') {
            continue;
        }
        line[strcspn(line, " |")] = '\0';
        const char **grown = realloc((void *)names, (n_names + 1) * sizeof(*grown));
        if (grown == NULL) {
            return;
        }
        names = grown;
        names[n_names++] = line;
    }
}

static void read_names(void) {
    size_t bytes = 0;
    FILE *memory = open_memstream(&names_text, &bytes);
    if (memory == NULL) {
        return;
    }
    rd_kafka_conf_properties_show(memory);
    if (fclose(memory) == 0) {
        collect_names(names_text);
    }
}

static const char *nearest_name(const char *key) {
    pthread_once(&names_once, read_names);
    return sl_nearest_name(key, names, n_names);
}

const char *kafka_check_property(const char *key, const char *value, const char **nearest) {
    static _Thread_local char sentence[640];
    for (size_t i = 0; i < SL_ARRAY_LENGTH(RESERVED); i++) {
        if (strcmp(key, RESERVED[i].name) == 0) {
            return RESERVED[i].why;
        }
    }
    size_t bytes = strlen(key);
    if (bytes > 3 && strcmp(key + bytes - 3, "_cb") == 0) {
        return "is a callback, not a property that can be written down";
    }
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    char why[400] = "";
    rd_kafka_conf_res_t result = rd_kafka_conf_set(scratch, key, value, why, sizeof(why));
    rd_kafka_conf_destroy(scratch);
    if (result == RD_KAFKA_CONF_OK) {
        return NULL;
    }
    if (result == RD_KAFKA_CONF_UNKNOWN) {
        *nearest = nearest_name(key);
        return "is neither an option of this plugin nor a property of librdkafka";
    }
    snprintf(sentence, sizeof(sentence), "librdkafka refuses the value: %s", why);
    return sentence;
}

sl_error *kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value) {
    char why[400] = "";
    return rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK
               ? NULL
               : sl_error_new(SL_ERROR_CONFIG, "librdkafka refuses \"%s\": %s", name, why);
}

sl_error *kafka_conf_set_number(rd_kafka_conf_t *conf, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return kafka_conf_set(conf, name, text);
}

sl_error *kafka_conf_set_map(rd_kafka_conf_t *conf, const sl_map *map) {
    sl_error *error = NULL;
    for (size_t i = 0; i < map->count && error == NULL; i++) {
        error = kafka_conf_set(conf, map->pairs[i].key, map->pairs[i].value);
    }
    return error;
}

sl_error *kafka_conf_common(rd_kafka_conf_t *conf, const struct kafka_section *section,
                            const char *bootstrap) {
    const struct {
        const char *name;
        const char *value;
    } texts[] = {
        {"client.id", "sluice"},
        {"reconnect.backoff.max.ms", "2000"}, /* back soon after a broker is */
        {"bootstrap.servers", bootstrap != NULL ? bootstrap : section->bootstrap},
        {"sasl.password", section->sasl_password},
        {"ssl.key.password", section->ssl_key_password},
        {"ssl.key.pem", section->ssl_key_pem},
        {"ssl.keystore.password", section->ssl_keystore_password},
        {"sasl.oauthbearer.config", section->sasl_oauthbearer_config},
    };
    sl_error *error = NULL;
    for (size_t i = 0; i < SL_ARRAY_LENGTH(texts) && error == NULL; i++) {
        if (texts[i].value != NULL) {
            error = kafka_conf_set(conf, texts[i].name, texts[i].value);
        }
    }
    return error != NULL ? error : kafka_conf_set_map(conf, &section->properties);
}

sl_error_class kafka_error_class(rd_kafka_resp_err_t code) {
    static const rd_kafka_resp_err_t LASTING[] = {
        RD_KAFKA_RESP_ERR__FATAL,
        RD_KAFKA_RESP_ERR__INVALID_ARG,
        RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
        RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
        RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
        RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    };
    for (size_t i = 0; i < SL_ARRAY_LENGTH(LASTING); i++) {
        if (code == LASTING[i]) {
            return SL_ERROR_FATAL;
        }
    }
    return SL_ERROR_RETRIABLE;
}

sl_error *kafka_error(rd_kafka_resp_err_t code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    sl_buffer text = SL_BUFFER_INIT;
    char what[512];
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    sl_buffer_printf(&text, "%s: %s", what, rd_kafka_err2str(code));
    const char *message = sl_buffer_text(&text);
    sl_error *error = message == NULL ? sl_error_no_memory()
                                      : sl_error_new(kafka_error_class(code), "%s", message);
    sl_buffer_free(&text);
    return error;
}

const char *kafka_section_property(const struct kafka_section *section, const char *name) {
    for (size_t i = 0; i < section->properties.count; i++) {
        if (strcmp(section->properties.pairs[i].key, name) == 0) {
            return section->properties.pairs[i].value;
        }
    }
    return NULL;
}

/* What librdkafka would say only much later, or not in the operator's words. */
static sl_error *check_login(const struct kafka_section *section, const char *owner) {
    const char *protocol = kafka_section_property(section, "security.protocol");
    const char *mechanism = kafka_section_property(section, "sasl.mechanism");
    mechanism = mechanism != NULL ? mechanism : kafka_section_property(section, "sasl.mechanisms");
    bool sasl = protocol != NULL && strncasecmp(protocol, "sasl_", 5) == 0;
    bool by_token = mechanism != NULL && strcmp(mechanism, "OAUTHBEARER") == 0;
    if (sasl && mechanism == NULL) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s has \"security.protocol\": \"%s\" without "
                            "\"sasl.mechanism\"; write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or "
                            "OAUTHBEARER",
                            owner, protocol);
    }
    if (mechanism != NULL && !sasl) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s has \"sasl.mechanism\": \"%s\", but "
                            "\"security.protocol\" is %s; write \"sasl_ssl\"",
                            owner, mechanism, protocol == NULL ? "plaintext" : protocol);
    }
    bool unsecured =
        kafka_section_property(section, "enable.sasl.oauthbearer.unsecure.jwt") != NULL;
    if (by_token && section->token_file == NULL && !unsecured) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s has \"sasl.mechanism\": \"OAUTHBEARER\", but "
                            "no \"sasl.oauthbearer.token.file\" to read tokens from",
                            owner);
    }
    if (section->token_file != NULL && !by_token) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s has \"sasl.oauthbearer.token.file\", which "
                            "needs \"sasl.mechanism\": \"OAUTHBEARER\"",
                            owner);
    }
    return NULL;
}

sl_error *kafka_choose_section(const struct kafka_section *shared, const struct kafka_section *own,
                               const struct kafka_section **out) {
    const struct kafka_section *section = own != NULL ? own : shared;
    const char *owner = own != NULL ? "\"cluster\"" : "the topology's section \"kafka\"";
    if (section == NULL || (section->bootstrap == NULL && !section->embedded)) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s names no broker; write \"%s\": {\"bootstrap.servers\": "
                            "\"HOST:PORT\"}, or {\"embedded\": true} for a broker inside this "
                            "process",
                            owner, own != NULL ? "cluster" : "kafka");
    }
    if (section->bootstrap != NULL && section->embedded) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "%s has both \"bootstrap.servers\" (\"%s\") and \"embedded\": true; "
                            "write one of them",
                            owner, section->bootstrap);
    }
    *out = section;
    return check_login(section, owner);
}
