/* Sentences about rights that are missing; see rights.h. */
#include "rights.h"

#include "properties.h"

bool kafka_is_refused(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

/* Whom the brokers know us as, as far as we know it. */
static void name_user(const struct kafka_section *section, sl_buffer *out) {
    const char *user = kafka_section_property(section, "sasl.username");
    if (section->token_file != NULL) {
        sl_buffer_append_text(out, "the user of our token");
    } else if (user != NULL) {
        sl_buffer_printf(out, "the user \"%s\"", user);
    } else if (kafka_section_property(section, "ssl.certificate.location") != NULL) {
        sl_buffer_append_text(out, "the user of our certificate");
    } else {
        sl_buffer_append_text(out, "us");
    }
}

sl_error *kafka_refused(const struct kafka_link *link, rd_kafka_resp_err_t code, const char *action,
                        const char *name, const char *right) {
    sl_buffer user = SL_BUFFER_INIT;
    name_user(link->section, &user);
    const char *who = sl_buffer_text(&user);
    const char *quote = name[0] == '\0' ? "" : "\"";
    sl_error *error =
        who == NULL
            ? sl_error_no_memory()
            : sl_error_new(SL_ERROR_FATAL,
                           "%s does not allow %s to %s%s%s%s%s (%s): grant %s, then restart "
                           "the node",
                           link->bootstrap, who, action, name[0] == '\0' ? "" : " ", quote, name,
                           quote, rd_kafka_err2str(code), right);
    sl_buffer_free(&user);
    return error;
}
