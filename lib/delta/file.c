/* Descriptions of data files and lists of them: copies, moves, and their ends. Also the small
 * owned lists of texts and pairs that actions are made of. */
#include <stdlib.h>
#include <string.h>

#include "delta/internal.h"

void sl_delta_file_clear(sl_delta_file *file) {
    free(file->path);
    free(file->uri);
    for (size_t i = 0; i < file->n_partition_values; i++) {
        free(file->partition_values[i]);
    }
    free(file->partition_values);
    free(file->stats);
    free(file->tail_owner);
    free(file->tags);
    memset(file, 0, sizeof(*file));
}

/* NULL stays NULL; false when memory is short. */
static bool copy_text(const char *text, char **out) {
    *out = text == NULL ? NULL : strdup(text);
    return text == NULL || *out != NULL;
}

sl_error *sl_delta_file_copy(const sl_delta_file *file, sl_delta_file *out) {
    sl_delta_file copy = {
        .size_bytes = file->size_bytes,
        .modified_ms = file->modified_ms,
        .rows = file->rows,
        .data_change = file->data_change,
    };
    bool good = copy_text(file->path, &copy.path) && copy_text(file->uri, &copy.uri) &&
                copy_text(file->stats, &copy.stats) &&
                copy_text(file->tail_owner, &copy.tail_owner) && copy_text(file->tags, &copy.tags);
    if (good && file->n_partition_values > 0) {
        copy.partition_values = calloc(file->n_partition_values, sizeof(char *));
        good = copy.partition_values != NULL;
        copy.n_partition_values = good ? file->n_partition_values : 0;
        for (size_t i = 0; i < copy.n_partition_values && good; i++) {
            good = copy_text(file->partition_values[i], &copy.partition_values[i]);
        }
    }
    if (!good) {
        sl_delta_file_clear(&copy);
        return sl_error_no_memory();
    }
    *out = copy;
    return NULL;
}

static sl_error *reserve(sl_delta_files *files, size_t more) {
    size_t need;
    if (!sl_add_size(files->n, more, &need)) {
        return sl_error_no_memory();
    }
    if (need <= files->capacity) {
        return NULL;
    }
    size_t capacity = files->capacity < 8 ? 8 : files->capacity * 2;
    capacity = capacity < need ? need : capacity;
    size_t bytes;
    sl_delta_file *items = NULL;
    if (sl_mul_size(capacity, sizeof(*items), &bytes)) {
        items = realloc(files->items, bytes);
    }
    if (items == NULL) {
        return sl_error_no_memory();
    }
    files->items = items;
    files->capacity = capacity;
    return NULL;
}

sl_error *sl_delta_files_add(sl_delta_files *files, sl_delta_file *file) {
    sl_error *error = reserve(files, 1);
    if (error == NULL) {
        files->items[files->n++] = *file;
        memset(file, 0, sizeof(*file));
    }
    return error;
}

sl_error *sl_delta_files_move(sl_delta_files *files, sl_delta_files *from) {
    sl_error *error = reserve(files, from->n);
    if (error == NULL && from->n > 0) {
        memcpy(files->items + files->n, from->items, from->n * sizeof(*from->items));
        files->n += from->n;
        from->n = 0;
    }
    return error;
}

void sl_delta_files_free(sl_delta_files *files) {
    for (size_t i = 0; i < files->n; i++) {
        sl_delta_file_clear(&files->items[i]);
    }
    free(files->items);
    *files = (sl_delta_files){0};
}

sl_error *delta_texts_add(delta_texts *texts, const char *text, size_t bytes) {
    char **items = realloc(texts->items, (texts->n + 1) * sizeof(*items));
    if (items == NULL) {
        return sl_error_no_memory();
    }
    texts->items = items;
    char *copy = strndup(text, bytes);
    if (copy == NULL) {
        return sl_error_no_memory();
    }
    items[texts->n++] = copy;
    return NULL;
}

void delta_texts_free(delta_texts *texts) {
    for (size_t i = 0; i < texts->n; i++) {
        free(texts->items[i]);
    }
    free(texts->items);
    *texts = (delta_texts){0};
}

static sl_error *pairs_append(delta_pairs *pairs, const char *key, const char *value) {
    char **keys = realloc(pairs->keys, (pairs->n + 1) * sizeof(*keys));
    if (keys == NULL) {
        return sl_error_no_memory();
    }
    pairs->keys = keys;
    char **values = realloc(pairs->values, (pairs->n + 1) * sizeof(*values));
    if (values == NULL) {
        return sl_error_no_memory();
    }
    pairs->values = values;
    keys[pairs->n] = strdup(key);
    if (keys[pairs->n] == NULL) {
        return sl_error_no_memory();
    }
    if (!copy_text(value, &values[pairs->n])) {
        free(keys[pairs->n]);
        return sl_error_no_memory();
    }
    pairs->n++;
    return NULL;
}

sl_error *delta_pairs_set(delta_pairs *pairs, const char *key, const char *value) {
    for (size_t i = 0; i < pairs->n; i++) {
        if (strcmp(pairs->keys[i], key) == 0) {
            char *copy;
            if (!copy_text(value, &copy)) {
                return sl_error_no_memory();
            }
            free(pairs->values[i]);
            pairs->values[i] = copy;
            return NULL;
        }
    }
    return pairs_append(pairs, key, value);
}

const char *delta_pairs_get(const delta_pairs *pairs, const char *key) {
    for (size_t i = 0; i < pairs->n; i++) {
        if (strcmp(pairs->keys[i], key) == 0) {
            return pairs->values[i];
        }
    }
    return NULL;
}

void delta_pairs_free(delta_pairs *pairs) {
    for (size_t i = 0; i < pairs->n; i++) {
        free(pairs->keys[i]);
        free(pairs->values[i]);
    }
    free(pairs->keys);
    free(pairs->values);
    *pairs = (delta_pairs){0};
}
