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
    ACCESS_UNKNOWN,   /* no credentials, or what cannot be any */
    ACCESS_UNCHECKED, /* new ones: an access_check tells */
    ACCESS_TOO_MANY   /* wrong ones have come too often lately: these have not been looked at */
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
 * Reads the file again when it has changed; what it says from then on holds, and everybody has to
 * show his credentials anew. True when it has changed; then *error says why the users stay as they
 * were, or NULL. Looks once a second at most.
 */
bool access_refresh(struct access *access, sl_error **error);

/*
 * Who asks, by the header's value (NULL: there is none); *user is borrowed and stays. What has been
 * right once costs next to nothing from then on; anything else costs a derivation of its key, for
 * which there is access_check, and is limited in its rate.
 */
enum access_answer access_look_up(struct access *access, const char *authorization,
                                  const struct access_user **user);
/* The user who is known by a certificate with this common name; NULL: none. */
const struct access_user *access_by_certificate(const struct access *access, const char *name);

/* New credentials, while they are checked. */
struct access_check;

/* NULL: memory is short, or they cannot be right. Counts as a failed log-in until it ends well. */
struct access_check *access_check_new(struct access *access, const char *authorization);
/* Derives the key: some 50 ms for a password. Any thread. */
void access_check_run(struct access_check *check);
/* Whose they are, NULL: nobody's. Frees the check. */
const struct access_user *access_check_end(struct access *access, struct access_check *check);

#endif /* ADMIN_ACCESS_H */
