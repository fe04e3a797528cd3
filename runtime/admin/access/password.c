/* Hashes of passwords (see password.h). */
#include "admin/access/password.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#define SCHEME "scrypt$"

enum { BLOCK = 8, MAX_COST = 1 << 17, MAX_MEMORY_BYTES = 256 << 20 };

static bool derive(const char *secret, size_t secret_bytes, const uint8_t *salt, uint64_t cost,
                   uint8_t *out) {
    return EVP_PBE_scrypt(secret, secret_bytes, salt, PASSWORD_SALT_BYTES, cost, BLOCK, 1,
                          MAX_MEMORY_BYTES, out, PASSWORD_HASH_BYTES) == 1;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly n bytes; the place behind them, or NULL. */
static const char *read_hex(const char *text, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i++, text += 2) {
        int high = digit(text[0]);
        int low = high < 0 ? -1 : digit(text[1]);
        if (low < 0) {
            return NULL;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return text;
}

static void append_hex(sl_buffer *out, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sl_buffer_printf(out, "%02x", bytes[i]);
    }
}

bool password_parse(const char *text, struct password_hash *out) {
    size_t scheme_bytes = strlen(SCHEME);
    int64_t cost;
    if (strncmp(text, SCHEME, scheme_bytes) != 0) {
        return false;
    }
    text += scheme_bytes;
    size_t bytes = strcspn(text, "$");
    if (!sl_parse_i64(text, bytes, &cost) || cost < 2 || cost > MAX_COST ||
        (cost & (cost - 1)) != 0 || text[bytes] != '$') {
        return false;
    }
    out->cost = (uint64_t)cost;
    text = read_hex(text + bytes + 1, out->salt, sizeof(out->salt));
    text = text != NULL && *text == '$' ? read_hex(text + 1, out->hash, sizeof(out->hash)) : NULL;
    return text != NULL && *text == 0;
}

sl_error *password_make(const char *secret, uint64_t cost, sl_buffer *out) {
    struct password_hash made;
    if (RAND_bytes(made.salt, sizeof(made.salt)) != 1 ||
        !derive(secret, strlen(secret), made.salt, cost, made.hash)) {
        return sl_error_new(SL_ERROR_FATAL, "OpenSSL cannot make a hash");
    }
    sl_buffer_printf(out, SCHEME "%" PRIu64 "$", cost);
    append_hex(out, made.salt, sizeof(made.salt));
    sl_buffer_append_byte(out, '$');
    append_hex(out, made.hash, sizeof(made.hash));
    return out->failed ? sl_error_no_memory() : NULL;
}

bool password_fits(const struct password_hash *hash, const char *secret, size_t secret_bytes) {
    uint8_t derived[PASSWORD_HASH_BYTES];
    return derive(secret, secret_bytes, hash->salt, hash->cost, derived) &&
           CRYPTO_memcmp(derived, hash->hash, sizeof(derived)) == 0;
}

sl_error *password_random_token(sl_buffer *out) {
    uint8_t random[TOKEN_BYTES];
    if (RAND_bytes(random, sizeof(random)) != 1) {
        return sl_error_new(SL_ERROR_FATAL, "OpenSSL has no randomness");
    }
    append_hex(out, random, sizeof(random));
    return out->failed ? sl_error_no_memory() : NULL;
}
