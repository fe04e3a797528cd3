/*
 * Rights: what brokers that know us do not let us do. Each error is one sentence that says who
 * wants to do what, and which right has to be granted for it.
 *
 * They are refusals for good (FATAL), as wrong passwords are: no time heals them, and a node that
 * waits in silence for somebody to grant a right looks like one without records.
 */
#ifndef KAFKA_RIGHTS_H
#define KAFKA_RIGHTS_H

#include "link.h"

/* The code says that a right is missing. */
bool kafka_is_refused(rd_kafka_resp_err_t code);

/* `action` is what we want to do ("read the topic"), `name` of what, "" if that is said already;
 * `right` what has to be granted ("READ on it"). */
sl_error *kafka_refused(const struct kafka_link *link, rd_kafka_resp_err_t code, const char *action,
                        const char *name, const char *right);

#endif /* KAFKA_RIGHTS_H */
