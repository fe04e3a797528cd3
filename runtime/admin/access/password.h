/*
 * Salted hashes of passwords and tokens: scrypt (RFC 7914) with r = 8 and p = 1, by OpenSSL,
 * written "scrypt$N$SALT$HASH", salt and hash in hexadecimal.
 */
#ifndef ADMIN_PASSWORD_H
#define ADMIN_PASSWORD_H

#include "base/base.h"

enum {
    PASSWORD_COST = 16384, /* N: what people choose can be guessed, so each guess is to cost */
    TOKEN_COST = 16,       /* 256 random bits cannot */
    PASSWORD_SALT_BYTES = 16,
    PASSWORD_HASH_BYTES = 32,
    TOKEN_BYTES = 32
};

struct password_hash {
    uint64_t cost;
    uint8_t salt[PASSWORD_SALT_BYTES];
    uint8_t hash[PASSWORD_HASH_BYTES];
};

/* False when it is none. */
bool password_parse(const char *text, struct password_hash *out);
/* Hashes with a new salt and appends the text. Errors: FATAL (OpenSSL has no randomness). */
sl_error *password_make(const char *secret, uint64_t cost, sl_buffer *out);
/* Whether the secret is that of the hash; its time does not depend on how much of it is right.
 * Costs the hash's work. */
bool password_fits(const struct password_hash *hash, const char *secret, size_t secret_bytes);
/* Appends TOKEN_BYTES random bytes in hexadecimal. Errors: FATAL. */
sl_error *password_random_token(sl_buffer *out);

#endif /* ADMIN_PASSWORD_H */
