/* The record of closed files: see closes.h. */
#include "closes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "closes/"
#define MAGIC "sluice-closes\t"
#define VERSION 1
#define NAME_BYTES 48
#define MAX_FIELDS 5
/* A number that was used may not come again while a writer that fell behind could still use it. */
#define KEEP_MS (INT64_C(24) * 3600 * 1000)

static void clear_file(struct closes_file *file) {
    free(file->key);
    free(file->path);
}

static void clear(struct closes *closes) {
    for (size_t i = 0; i < closes->n_positions; i++) {
        free(closes->positions[i].key);
    }
    for (size_t i = 0; i < closes->n_files; i++) {
        clear_file(&closes->files[i]);
    }
    free(closes->layout);
    closes->layout = NULL;
    closes->n_positions = 0;
    closes->n_files = 0;
}

void closes_free(struct closes *closes) {
    clear(closes);
    free(closes->positions);
    free(closes->files);
    *closes = (struct closes){0};
}

static void name_of(int64_t version, char *out) {
    snprintf(out, NAME_BYTES, FOLDER "%020" PRId64, version);
}

/* ---- changing ---- */

static struct closes_position *find(const struct closes *closes, const char *key) {
    for (size_t i = 0; i < closes->n_positions; i++) {
        if (strcmp(closes->positions[i].key, key) == 0) {
            return &closes->positions[i];
        }
    }
    return NULL;
}

int64_t closes_position(const struct closes *closes, const char *key) {
    const struct closes_position *position = find(closes, key);
    return position == NULL ? -1 : position->offset;
}

static sl_error *check_text(const char *text) {
    return strpbrk(text, "\t\n") == NULL
               ? NULL
               : sl_error_new(SL_ERROR_CONFIG,
                              "\"%s\" holds a tab or a line end, which the record of closed files "
                              "cannot keep; rename the node or the topic",
                              text);
}

sl_error *closes_set_position(struct closes *closes, const char *key, int64_t offset) {
    struct closes_position *position = find(closes, key);
    if (position != NULL) {
        position->offset = offset;
        return NULL;
    }
    sl_error *error = check_text(key);
    if (error != NULL) {
        return error;
    }
    struct closes_position *grown =
        realloc(closes->positions, (closes->n_positions + 1) * sizeof(*grown));
    if (grown != NULL) {
        closes->positions = grown;
    }
    char *copy = strdup(key);
    if (grown == NULL || copy == NULL) {
        free(copy);
        return sl_error_no_memory();
    }
    closes->positions[closes->n_positions++] = (struct closes_position){copy, offset};
    return NULL;
}

sl_error *closes_add_file(struct closes *closes, const char *key, const char *path, int64_t first,
                          int64_t next) {
    sl_error *error = check_text(key);
    error = error ? error : check_text(path);
    if (error != NULL) {
        return error;
    }
    struct closes_file *grown = realloc(closes->files, (closes->n_files + 1) * sizeof(*grown));
    if (grown != NULL) {
        closes->files = grown;
    }
    struct closes_file file = {strdup(key), strdup(path), first, next};
    if (grown == NULL || file.key == NULL || file.path == NULL) {
        clear_file(&file);
        return sl_error_no_memory();
    }
    closes->files[closes->n_files++] = file;
    return NULL;
}

void closes_remove_file(struct closes *closes, size_t i) {
    clear_file(&closes->files[i]);
    memmove(&closes->files[i], &closes->files[i + 1],
            (closes->n_files - i - 1) * sizeof(*closes->files));
    closes->n_files--;
}

/* ---- reading ---- */

static sl_error *corrupt(const char *where, size_t line) {
    return sl_error_new(SL_ERROR_CORRUPT, "%s: line %zu does not follow its format", where, line);
}

static size_t split(char *line, char **fields) {
    size_t n = 0;
    while (line != NULL && n < MAX_FIELDS) {
        fields[n++] = strsep(&line, "\t");
    }
    return line == NULL ? n : 0;
}

static bool number(const char *text, int64_t *out) {
    return sl_parse_i64(text, strlen(text), out) && *out >= 0;
}

/* *good says whether the line follows the format. */
static sl_error *read_line(struct closes *closes, char *line, bool *good) {
    char *fields[MAX_FIELDS];
    int64_t first = 0;
    int64_t next = 0;
    size_t n = split(line, fields);
    *good = true;
    if (n == 2 && strcmp(fields[0], "layout") == 0 && closes->layout == NULL) {
        closes->layout = strdup(fields[1]);
        return closes->layout == NULL ? sl_error_no_memory() : NULL;
    }
    if (n == 3 && strcmp(fields[0], "position") == 0 && number(fields[1], &first)) {
        return closes_set_position(closes, fields[2], first);
    }
    if (n == 5 && strcmp(fields[0], "file") == 0 && number(fields[1], &first) &&
        number(fields[2], &next) && first < next) {
        return closes_add_file(closes, fields[3], fields[4], first, next);
    }
    *good = false;
    return NULL;
}

static sl_error *parse(struct closes *closes, const char *where, char *text) {
    sl_error *error = NULL;
    clear(closes);
    char *rest = text;
    char *line = strsep(&rest, "\n");
    int64_t version = 0;
    if (strncmp(line, MAGIC, strlen(MAGIC)) != 0 || !number(line + strlen(MAGIC), &version)) {
        return corrupt(where, 1);
    }
    if (version != VERSION) {
        return sl_error_format(where, version, VERSION, VERSION);
    }
    for (size_t i = 2; error == NULL && (line = strsep(&rest, "\n")) != NULL; i++) {
        bool good = true;
        if (rest == NULL) { /* behind the last line end */
            return *line == 0 ? NULL : corrupt(where, i);
        }
        error = read_line(closes, line, &good);
        if (error == NULL && !good) {
            error = corrupt(where, i);
        }
    }
    return error;
}

static int newest(const sl_store_entry *entry, void *arg) {
    int64_t version;
    const char *number_text = entry->path + strlen(FOLDER);
    while (number_text[0] == '0' && number_text[1] != 0) {
        number_text++;
    }
    if (number(number_text, &version)) {
        *(int64_t *)arg = version;
    }
    return 0;
}

sl_error *closes_load(struct closes *closes, sl_store *state) {
    char name[NAME_BYTES];
    int64_t version = closes->version;
    sl_store_bytes bytes;
    sl_buffer where = SL_BUFFER_INIT;
    sl_buffer text = SL_BUFFER_INIT;
    name_of(version, name);
    sl_error *error =
        state->ops->list(state, FOLDER, version == 0 ? NULL : name, 0, newest, &version);
    if (error != NULL || version == 0) {
        clear(closes);
        return error;
    }
    name_of(version, name);
    error = state->ops->get(state, name, 0, -1, &bytes);
    if (error != NULL) {
        return error;
    }
    sl_buffer_append(&text, bytes.data, bytes.bytes);
    if (bytes.release != NULL) {
        bytes.release(&bytes);
    }
    sl_buffer_printf(&where, "the record of closed files %s/%s", state->ops->url(state), name);
    if (sl_buffer_text(&text) == NULL || sl_buffer_text(&where) == NULL) {
        error = sl_error_no_memory();
    } else if (memchr(text.data, 0, text.bytes) != NULL) {
        error = corrupt(sl_buffer_text(&where), 1);
    } else {
        error = parse(closes, sl_buffer_text(&where), (char *)text.data);
    }
    sl_buffer_free(&where);
    sl_buffer_free(&text);
    closes->version = error == NULL ? version : closes->version;
    return error;
}

/* ---- writing ---- */

sl_error *closes_write(struct closes *closes, sl_store *state, const char *layout) {
    char name[NAME_BYTES];
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer_printf(&text, MAGIC "%d\nlayout\t%s\n", VERSION, layout);
    for (size_t i = 0; i < closes->n_positions; i++) {
        const struct closes_position *p = &closes->positions[i];
        sl_buffer_printf(&text, "position\t%" PRId64 "\t%s\n", p->offset, p->key);
    }
    for (size_t i = 0; i < closes->n_files; i++) {
        const struct closes_file *f = &closes->files[i];
        sl_buffer_printf(&text, "file\t%" PRId64 "\t%" PRId64 "\t%s\t%s\n", f->first, f->next,
                         f->key, f->path);
    }
    name_of(closes->version + 1, name);
    sl_error *error = text.failed
                          ? sl_error_no_memory()
                          : state->ops->put(state, name, text.data, text.bytes, SL_STORE_IF_ABSENT);
    if (sl_error_is(error, SL_ERROR_EXISTS)) {
        sl_error_free(error);
        error = sl_error_new(SL_ERROR_CONFLICT,
                             "another writer has recorded closed files in %s meanwhile (%s)",
                             state->ops->url(state), name);
    }
    sl_buffer_free(&text);
    closes->version += error == NULL;
    return error;
}

/* ---- cleaning ---- */

struct cleaning {
    sl_store *state;
    char newest[NAME_BYTES];
    int64_t before_ms;
    sl_error *error;
};

static int remove_old(const sl_store_entry *entry, void *arg) {
    struct cleaning *cleaning = arg;
    if (strcmp(entry->path, cleaning->newest) >= 0 || entry->modified_ms == 0 ||
        entry->modified_ms >= cleaning->before_ms) {
        return 1; /* the others are newer still */
    }
    cleaning->error = cleaning->state->ops->remove(cleaning->state, entry->path);
    return cleaning->error != NULL;
}

sl_error *closes_clean(const struct closes *closes, sl_store *state, int64_t now_ms) {
    struct cleaning cleaning = {.state = state, .before_ms = now_ms - KEEP_MS, .error = NULL};
    name_of(closes->version, cleaning.newest);
    sl_error *error = state->ops->list(state, FOLDER, NULL, 0, remove_old, &cleaning);
    if (error != NULL) {
        sl_error_free(cleaning.error);
        return error;
    }
    return cleaning.error;
}
