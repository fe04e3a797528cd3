/* Users, and the check of what they show (see access.h). */
#include "admin/access/access.h"

#include "admin/access/password.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

enum {
    KEY_BYTES = 32,
    REMEMBERED = 64,
    MAX_FILE_BYTES = 1 << 20,
    MAX_NAME_BYTES = 128,
    FAILURES_AT_ONCE = 10 /* and one more each second */
};

struct user {
    struct access_user shown; /* first */
    bool has_password;
    bool has_token;
    bool has_certificate; /* a client's certificate with his name is enough */
    struct password_hash password;
    struct password_hash token;
};

/* Credentials that were right, as a keyed hash. */
struct remembered {
    const struct access_user *user; /* NULL: free */
    uint8_t mac[KEY_BYTES];
};

/* Users of a file that has been replaced: somebody may still speak of them. */
struct retired {
    struct retired *next;
    cJSON *document;
    struct user *users;
};

struct access {
    char *path;
    struct stat read; /* of the file, when it was read */
    int64_t looked_us;
    struct retired *retired;
    unsigned generation; /* counts the readings */
    cJSON *document;     /* holds the names */
    struct user *users;
    size_t n_users;
    uint8_t key[KEY_BYTES];
    struct remembered remembered[REMEMBERED];
    size_t next_remembered;
    double failures_left;
    int64_t failures_us; /* when that was true */
};

static const char *const role_names[] = {[ACCESS_NOBODY] = "nobody",
                                         [ACCESS_VIEWER] = "viewer",
                                         [ACCESS_OPERATOR] = "operator",
                                         [ACCESS_ADMIN] = "admin"};

bool access_parse_role(const char *text, enum access_role *out) {
    for (int role = ACCESS_VIEWER; role <= ACCESS_ADMIN; role++) {
        if (strcmp(text, role_names[role]) == 0) {
            *out = (enum access_role)role;
            return true;
        }
    }
    return false;
}

const char *access_role_name(enum access_role role) {
    return role_names[role];
}

/* ---- the file ---- */

/* False when the member is there and no hash. */
static bool read_hash(const cJSON *entry, const char *name, struct password_hash *out, bool *has) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(entry, name);
    *has = item != NULL;
    return item == NULL || (cJSON_IsString(item) && password_parse(item->valuestring, out));
}

static const char *read_user(const cJSON *entry, struct user *out) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "name"));
    const char *role = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "role"));
    if (name == NULL || *name == 0 || strlen(name) > MAX_NAME_BYTES || strchr(name, ':') != NULL) {
        return "\"name\" is missing, too long or holds a colon";
    }
    if (role == NULL || !access_parse_role(role, &out->shown.role)) {
        return "\"role\" is missing or unknown; allowed are viewer, operator, admin";
    }
    out->has_certificate =
        cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(entry, "certificate")) != 0;
    if (!read_hash(entry, "password", &out->password, &out->has_password) ||
        !read_hash(entry, "token", &out->token, &out->has_token) ||
        (!out->has_password && !out->has_token && !out->has_certificate)) {
        return "\"password\" or \"token\" has to be a hash as sluice admin-user makes it, or "
               "\"certificate\" true";
    }
    out->shown.name = name;
    return NULL;
}

static const struct user *find(const struct access *access, const char *name, size_t bytes) {
    for (size_t i = 0; i < access->n_users; i++) {
        const char *of_user = access->users[i].shown.name;
        if (strlen(of_user) == bytes && memcmp(of_user, name, bytes) == 0) {
            return &access->users[i];
        }
    }
    return NULL;
}

static sl_error *read_users(struct access *access, const char *path) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(access->document, "users");
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n == 0) {
        return sl_error_new(SL_ERROR_CONFIG,
                            "admin.users: %s holds no users; allowed is {\"users\": [{\"name\": "
                            "..., \"role\": ..., \"password\": ...}]}",
                            path);
    }
    access->users = calloc((size_t)n, sizeof(*access->users));
    if (access->users == NULL) {
        return sl_error_no_memory();
    }
    const cJSON *entry = NULL;
    cJSON_ArrayForEach(entry, list) {
        struct user *user = &access->users[access->n_users];
        const char *why = read_user(entry, user);
        if (why == NULL && find(access, user->shown.name, strlen(user->shown.name)) != NULL) {
            why = "its \"name\" stands there twice";
        }
        if (why != NULL) {
            return sl_error_new(SL_ERROR_CONFIG, "admin.users: %s, entry %zu: %s", path,
                                access->n_users + 1, why);
        }
        access->n_users++;
    }
    return NULL;
}

static sl_error *read_file(const char *path, sl_buffer *out) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return sl_error_new(SL_ERROR_CONFIG, "admin.users: %s cannot be read: %s", path,
                            strerror(errno));
    }
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0 && out->bytes <= MAX_FILE_BYTES) {
        sl_buffer_append(out, chunk, n);
    }
    bool bad = ferror(file) != 0;
    (void)fclose(file);
    if (bad || out->bytes > MAX_FILE_BYTES) {
        return sl_error_new(SL_ERROR_CONFIG, "admin.users: %s cannot be read%s", path,
                            bad ? "" : ": it is larger than 1 MiB");
    }
    return out->failed ? sl_error_no_memory() : NULL;
}

/* Reads the users into `access`, which has none. */
static sl_error *read_all(struct access *access, const char *path) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_error *error = read_file(path, &text);
    if (error == NULL && RAND_bytes(access->key, sizeof(access->key)) != 1) {
        error = sl_error_new(SL_ERROR_FATAL, "OpenSSL has no randomness");
    }
    if (error == NULL) {
        access->document = cJSON_ParseWithLength((const char *)text.data, text.bytes);
        error = read_users(access, path);
    }
    sl_buffer_free(&text);
    return error;
}

static void free_users(cJSON *document, struct user *users) {
    cJSON_Delete(document);
    free(users);
}

sl_error *access_open(const char *path, struct access **out) {
    struct access *access = calloc(1, sizeof(*access));
    *out = NULL;
    if (access == NULL) {
        return sl_error_no_memory();
    }
    access->failures_left = FAILURES_AT_ONCE;
    access->failures_us = access->looked_us = sl_monotonic_us();
    access->path = strdup(path);
    (void)stat(path, &access->read);
    sl_error *error = access->path != NULL ? read_all(access, path) : sl_error_no_memory();
    if (error != NULL) {
        access_close(access);
        return error;
    }
    *out = access;
    return NULL;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Takes over what `fresh` has read; those who were known have to show themselves anew. */
static sl_error *replace(struct access *access, struct access *fresh) {
    struct retired *retired = calloc(1, sizeof(*retired));
    if (retired == NULL) {
        return sl_error_no_memory();
    }
    *retired = (struct retired){access->retired, access->document, access->users};
    access->retired = retired;
    access->document = fresh->document;
    access->users = fresh->users;
    access->n_users = fresh->n_users;
    fresh->document = NULL;
    fresh->users = NULL;
    memset(access->remembered, 0, sizeof(access->remembered));
    access->generation++;
    return NULL;
}

bool access_refresh(struct access *access, sl_error **error) {
    struct stat now;
    int64_t now_us = sl_monotonic_us();
    *error = NULL;
    if (now_us - access->looked_us < 1000000) {
        return false;
    }
    access->looked_us = now_us;
    if (stat(access->path, &now) != 0 || is_same_file(&now, &access->read)) {
        return false;
    }
    access->read = now;
    struct access fresh = {0};
    *error = read_all(&fresh, access->path);
    if (*error == NULL) {
        *error = replace(access, &fresh);
    }
    free_users(fresh.document, fresh.users);
    return true;
}

void access_close(struct access *access) {
    if (access == NULL) {
        return;
    }
    while (access->retired != NULL) {
        struct retired *retired = access->retired;
        access->retired = retired->next;
        free_users(retired->document, retired->users);
        free(retired);
    }
    free_users(access->document, access->users);
    free(access->path);
    free(access);
}

/* ---- what has been right before ---- */

static bool authenticate(const struct access *access, const char *authorization, uint8_t *mac) {
    unsigned bytes = 0;
    return HMAC(EVP_sha256(), access->key, KEY_BYTES, (const unsigned char *)authorization,
                strlen(authorization), mac, &bytes) != NULL &&
           bytes == KEY_BYTES;
}

static const struct access_user *recall(const struct access *access, const uint8_t *mac) {
    const struct access_user *found = NULL;
    for (size_t i = 0; i < REMEMBERED; i++) {
        const struct remembered *one = &access->remembered[i];
        if (CRYPTO_memcmp(one->mac, mac, KEY_BYTES) == 0 && one->user != NULL) {
            found = one->user;
        }
    }
    return found;
}

static void remember(struct access *access, const struct access_user *user, const uint8_t *mac) {
    struct remembered *one = &access->remembered[access->next_remembered];
    access->next_remembered = (access->next_remembered + 1) % REMEMBERED;
    one->user = user;
    memcpy(one->mac, mac, KEY_BYTES);
}

/* ---- what is new ---- */

static bool may_try(struct access *access) {
    int64_t now_us = sl_monotonic_us();
    access->failures_left += (double)(now_us - access->failures_us) / 1e6;
    access->failures_us = now_us;
    if (access->failures_left > FAILURES_AT_ONCE) {
        access->failures_left = FAILURES_AT_ONCE;
    }
    return access->failures_left >= 1;
}

struct access_check {
    const struct access_user
        *user; /* of that name; NULL: there is none, or not with such a secret */
    struct password_hash hash;
    uint8_t mac[KEY_BYTES];
    unsigned generation;
    bool right;
    size_t secret_bytes;
    char secret[1024];
};

/* An unknown name costs what a known one does, so that the time does not tell names. */
static bool fill_check(const struct access *access, const char *name, size_t name_bytes,
                       const char *secret, size_t secret_bytes, bool token,
                       struct access_check *out) {
    const struct user *user = find(access, name, name_bytes);
    bool has = user != NULL && (token ? user->has_token : user->has_password);
    out->user = has ? &user->shown : NULL;
    out->hash = !has    ? (struct password_hash){.cost = token ? TOKEN_COST : PASSWORD_COST}
                : token ? user->token
                        : user->password;
    if (secret_bytes > sizeof(out->secret)) {
        return false;
    }
    memcpy(out->secret, secret, secret_bytes);
    out->secret_bytes = secret_bytes;
    return true;
}

/* "NAME:PASSWORD" in base64. */
static bool read_basic(const struct access *access, const char *text, struct access_check *out) {
    unsigned char decoded[1024];
    size_t bytes = strlen(text);
    if (bytes % 4 != 0 || bytes / 4 * 3 > sizeof(decoded)) {
        return false;
    }
    int n = EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)bytes);
    for (size_t i = bytes; n > 0 && i > 0 && bytes - i < 2 && text[i - 1] == '='; i--) {
        n--;
    }
    const char *start = (const char *)decoded;
    const char *colon = n > 0 ? memchr(start, ':', (size_t)n) : NULL;
    bool good = false;
    if (colon != NULL) {
        size_t name_bytes = (size_t)(colon - start);
        good = fill_check(access, start, name_bytes, colon + 1, (size_t)n - name_bytes - 1, false,
                          out);
    }
    OPENSSL_cleanse(decoded, sizeof(decoded));
    return good;
}

/* "NAME.SECRET": the name is in it so that only one hash has to be looked at. */
static bool read_bearer(const struct access *access, const char *text, struct access_check *out) {
    const char *dot = strrchr(text, '.');
    return dot != NULL &&
           fill_check(access, text, (size_t)(dot - text), dot + 1, strlen(dot + 1), true, out);
}

static const char *after_scheme(const char *authorization, const char *scheme) {
    size_t bytes = strlen(scheme);
    if (strncasecmp(authorization, scheme, bytes) != 0 || authorization[bytes] != ' ') {
        return NULL;
    }
    return authorization + bytes + strspn(authorization + bytes, " ");
}

struct access_check *access_check_new(struct access *access, const char *authorization) {
    struct access_check *check = calloc(1, sizeof(*check));
    access->failures_left -= 1;
    if (check == NULL) {
        return NULL;
    }
    const char *basic = after_scheme(authorization, "Basic");
    const char *bearer = after_scheme(authorization, "Bearer");
    bool good = (basic != NULL && read_basic(access, basic, check)) ||
                (bearer != NULL && read_bearer(access, bearer, check));
    if (!good || !authenticate(access, authorization, check->mac)) {
        free(check);
        return NULL;
    }
    check->generation = access->generation;
    return check;
}

void access_check_run(struct access_check *check) {
    check->right = password_fits(&check->hash, check->secret, check->secret_bytes);
    OPENSSL_cleanse(check->secret, sizeof(check->secret));
}

const struct access_user *access_check_end(struct access *access, struct access_check *check) {
    const struct access_user *user =
        check->right && check->generation == access->generation ? check->user : NULL;
    if (user != NULL) {
        access->failures_left += 1;
        remember(access, user, check->mac);
    }
    free(check);
    return user;
}

const struct access_user *access_by_certificate(const struct access *access, const char *name) {
    const struct user *user = find(access, name, strlen(name));
    return user != NULL && user->has_certificate ? &user->shown : NULL;
}

enum access_answer access_look_up(struct access *access, const char *authorization,
                                  const struct access_user **user) {
    uint8_t mac[KEY_BYTES];
    *user = NULL;
    if (authorization == NULL || !authenticate(access, authorization, mac)) {
        return ACCESS_UNKNOWN;
    }
    *user = recall(access, mac);
    return *user != NULL ? ACCESS_GRANTED : may_try(access) ? ACCESS_UNCHECKED : ACCESS_TOO_MANY;
}
