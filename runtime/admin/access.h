/*
 * Who may do what: the users of the file `admin.users`, their roles, and what a request's
 * Authorization (RFC 7617 basic, RFC 6750 bearer) says. Control loop.
 */
#ifndef ADMIN_ACCESS_H
#define ADMIN_ACCESS_H

#include "base/base.h"

/* Each may do what those before it may. */
enum access_role { ACCESS_NOBODY, ACCESS_VIEWER, ACCESS_OPERATOR, ACCESS_ADMIN };

enum access_answer {
    ACCESS_GRANTED,
    ACCESS_UNKNOWN, /* no credentials, or wrong ones */
    ACCESS_TOO_MANY /* wrong ones have come too often lately: these have not been looked at */
};

struct access_user {
    const char *name;
    enum access_role role;
};

struct access;

/* "viewer", "operator" or "admin"; false when it is none. */
bool access_parse_role(const char *text, enum access_role *out);
const char *access_role_name(enum access_role role);

/* Reads the users; blocks. Errors: CONFIG (what is wrong with the file), NO_MEMORY. */
sl_error *access_open(const char *path, struct access **out);
void access_close(struct access *access); /* NULL is allowed */

/*
 * Who asks, by the header's value (NULL: there is none); *user is borrowed. What has been right
 * once costs next to nothing from then on; anything else costs a derivation of its key, which the
 * control loop waits for, and is therefore limited in its rate.
 */
enum access_answer access_look_up(struct access *access, const char *authorization,
                                  const struct access_user **user);

#endif /* ADMIN_ACCESS_H */
