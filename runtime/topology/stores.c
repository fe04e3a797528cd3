/*
 * "stores": how remote locations are authorized, an object whose keys are the beginnings of URLs.
 * Which options belong to which "auth" is checked here; that a credential is whole, where the
 * environment may complete it, when it is made.
 */
#include "topology/loader.h"

#include "store/store.h"

struct store_keys {
    int32_t auth;
    const char *key;
    const char *sas;
    sl_credential_options login;
};

/* Indexes are enum topology_auth's. */
static const char *const auth_names[] = {
    [TOPOLOGY_AUTH_DEFAULT] = "default",
    [TOPOLOGY_AUTH_NONE] = "none",
    [TOPOLOGY_AUTH_SHARED_KEY] = "shared-key",
    [TOPOLOGY_AUTH_SAS] = "sas",
    [TOPOLOGY_AUTH_CLIENT_SECRET] = "client-secret",
    [TOPOLOGY_AUTH_WORKLOAD_IDENTITY] = "workload-identity",
    [TOPOLOGY_AUTH_MANAGED_IDENTITY] = "managed-identity",
    NULL,
};

#define SECRET_KEY(key, field, text)                                                               \
    {                                                                                              \
        .name = key, .type = SL_OPTION_SECRET, .offset = offsetof(struct store_keys, field),       \
        .doc = text                                                                                \
    }

static const sl_option store_keys[] = {
    {.name = "auth",
     .type = SL_OPTION_ENUM,
     .offset = offsetof(struct store_keys, auth),
     .default_text = "default",
     .enum_names = auth_names,
     .doc = SL_CREDENTIAL_AUTH_DOC},
    SECRET_KEY("key", key, "shared-key: the account's key, base64"),
    SECRET_KEY("sas", sas, "sas: the shared access signature, \"sv=...&sig=...\""),
    SL_CREDENTIAL_OPTIONS(struct store_keys, login),
    {.name = NULL},
};

/* Which of the options an "auth" reads, a bit for each in the order of the table. */
static const struct {
    unsigned options;
    sl_credential_kind credential;
} kinds[] = {
    [TOPOLOGY_AUTH_DEFAULT] = {0x1f9, SL_CREDENTIAL_DEFAULT},
    [TOPOLOGY_AUTH_NONE] = {0x001, SL_CREDENTIAL_NONE},
    [TOPOLOGY_AUTH_SHARED_KEY] = {0x003, SL_CREDENTIAL_NONE},
    [TOPOLOGY_AUTH_SAS] = {0x005, SL_CREDENTIAL_NONE},
    [TOPOLOGY_AUTH_CLIENT_SECRET] = {0x0b9, SL_CREDENTIAL_CLIENT_SECRET},
    [TOPOLOGY_AUTH_WORKLOAD_IDENTITY] = {0x0d9, SL_CREDENTIAL_WORKLOAD_IDENTITY},
    [TOPOLOGY_AUTH_MANAGED_IDENTITY] = {0x111, SL_CREDENTIAL_MANAGED_IDENTITY},
};

static void check_options(struct loader *loader, const struct json_value *entry, const char *path,
                          enum topology_auth auth) {
    const char *needed = auth == TOPOLOGY_AUTH_SHARED_KEY ? "key"
                         : auth == TOPOLOGY_AUTH_SAS      ? "sas"
                                                          : NULL;
    if (needed != NULL && json_member(entry, needed) == NULL) {
        topology_fault_add(loader->faults, entry->place, path, "\"auth\": \"%s\" needs \"%s\"",
                           auth_names[auth], needed);
    }
    for (size_t i = 0; store_keys[i].name != NULL; i++) {
        const struct json_value *member = json_member(entry, store_keys[i].name);
        if (member != NULL && (kinds[auth].options & 1u << i) == 0) {
            topology_fault_add(loader->faults, member->key_place,
                               json_path_member(loader->arena, path, member->key),
                               "\"auth\": \"%s\" reads no \"%s\"; take it out, or change \"auth\"",
                               auth_names[auth], member->key);
        }
    }
}

static void check_url(struct loader *loader, const struct json_value *entry, const char *path) {
    if (!sl_store_is_remote(entry->key)) {
        topology_fault_add(loader->faults, entry->key_place, path,
                           "\"%.200s\" is no remote location; allowed is the beginning of one: "
                           "abfss://, https:// or http://",
                           entry->key);
    } else if (strchr(entry->key, '?') != NULL) {
        topology_fault_add(loader->faults, entry->key_place, path,
                           "a location has no '?'; a shared access signature is given as \"sas\"");
    }
}

static void read_entry(struct loader *loader, const struct json_value *entry, const char *path,
                       struct topology_store *out) {
    check_url(loader, entry, path);
    if (entry->kind != JSON_OBJECT) {
        if (!entry->broken) {
            topology_fault_add(
                loader->faults, entry->place, path,
                "found %s; allowed is an object: {\"auth\": \"shared-key\", \"key\": "
                "\"${env:AZURE_STORAGE_KEY}\"}",
                json_kind_name(entry->kind));
        }
        return;
    }
    struct option_context context = loader_context(loader, "stores");
    size_t errors = topology_faults_errors(loader->faults);
    const struct store_keys *keys =
        options_parse(&context, store_keys, sizeof(*keys), entry, entry->place, path, NULL);
    if (keys == NULL || topology_faults_errors(loader->faults) != errors) {
        return;
    }
    enum topology_auth auth = (enum topology_auth)keys->auth;
    check_options(loader, entry, path, auth);
    *out = (struct topology_store){
        .url = entry->key,
        .auth = auth,
        .credential = kinds[auth].credential,
        .key = keys->key,
        .sas = keys->sas,
        .login = keys->login,
    };
}

void loader_read_stores(struct loader *loader) {
    const struct json_value *value = json_member(loader->root, "stores");
    if (value == NULL || value->broken) {
        return;
    }
    if (value->kind != JSON_OBJECT) {
        topology_fault_add(loader->faults, value->place, "$.stores",
                           "found %s; allowed is an object by the beginnings of URLs",
                           json_kind_name(value->kind));
        return;
    }
    struct topology_store *stores = arena_array(loader->arena, value->n_children, sizeof(*stores));
    size_t n = 0;
    for (const struct json_value *m = value->first; m != NULL && stores != NULL; m = m->next) {
        read_entry(loader, m, json_path_member(loader->arena, "$.stores", m->key), &stores[n++]);
    }
    loader->loaded->topology.stores = stores;
    loader->loaded->topology.n_stores = n;
}
