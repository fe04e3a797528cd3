/*
 * Runs the official JSON-Schema-Test-Suite for draft 2020-12 against lib/json's validator.
 *
 * usage: json_suite SUITE_DIR [--verbose]
 * Prints a line for each optional group, the failures, and last what counts: the required tests.
 * Exits 1 when a required test fails.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "json/doc.h"

#define MAX_REMOTES 400

typedef struct counts {
    unsigned passed, failed;
} counts;

static sl_json_remote remotes[MAX_REMOTES];
static size_t n_remotes;
static bool verbose;

static char *read_whole(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*bytes + 1);
    if (text == NULL || fread(text, 1, *bytes, file) != *bytes) {
        exit(2);
    }
    fclose(file);
    return text;
}

/* The suite's remotes stand for what a server at this address would answer. */
static void read_remotes(const char *dir, const char *uri) {
    struct dirent **entries;
    int n = scandir(dir, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char path[1280], address[1280];
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", dir, name);
        snprintf(address, sizeof address, "%s/%s", uri, name);
        if (name[0] != '.' && stat(path, &info) == 0) {
            if (S_ISDIR(info.st_mode)) {
                read_remotes(path, address);
            } else if (n_remotes < MAX_REMOTES) {
                sl_json_remote *remote = &remotes[n_remotes++];
                remote->text = read_whole(path, &remote->bytes);
                remote->uri = strdup(address);
            }
        }
        free(entries[i]);
    }
    free(entries);
}

static char *text_of(const slj_doc *doc, uint32_t node, size_t *bytes) {
    sl_buffer text = SL_BUFFER_INIT;
    slj_doc_write(doc, node, 0, &text);
    return (char *)sl_buffer_take(&text, bytes);
}

static void report(const char *file, const slj_doc *doc, uint32_t group, uint32_t test,
                   const char *what) {
    uint32_t a = slj_doc_get(doc, group, "description"), b = slj_doc_get(doc, test, "description");
    printf("  FAILED %s: %.*s: %.*s: %s\n", file, (int)doc->nodes[a].bytes, doc->nodes[a].text,
           (int)doc->nodes[b].bytes, doc->nodes[b].text, what);
}

static void run_group(const char *file, const slj_doc *doc, uint32_t group, bool formats,
                      bool required, counts *out) {
    size_t bytes;
    char *schema = text_of(doc, slj_doc_get(doc, group, "schema"), &bytes);
    sl_json_options options = {
        .remotes = remotes, .n_remotes = n_remotes, .assert_formats = formats};
    sl_json_validator *validator = NULL;
    sl_error *error = sl_json_validator_new(schema, bytes, &options, &validator);
    uint32_t tests = slj_doc_get(doc, group, "tests");
    for (uint32_t t = tests + 1; t < doc->nodes[tests].end; t = doc->nodes[t].end) {
        char *data = text_of(doc, slj_doc_get(doc, t, "data"), &bytes);
        bool valid = doc->nodes[slj_doc_get(doc, t, "valid")].kind == SLJ_TRUE;
        sl_json_verdict verdict = {SL_JSON_OK, "", ""};
        sl_error *failed =
            error == NULL ? sl_json_validate(validator, data, bytes, &verdict) : NULL;
        bool good = error == NULL && failed == NULL && (verdict.reason == SL_JSON_OK) == valid;
        if (good) {
            out->passed++;
        } else {
            out->failed++;
            if (required || verbose) {
                report(file, doc, group, t,
                       error != NULL    ? sl_error_message(error)
                       : failed != NULL ? sl_error_message(failed)
                       : valid          ? verdict.detail
                                        : "accepted");
            }
        }
        sl_error_free(failed);
        free(data);
    }
    sl_error_free(error);
    sl_json_validator_free(validator);
    free(schema);
}

static counts run_file(const char *dir, const char *name, bool formats, bool required) {
    char path[1280];
    size_t bytes;
    counts out = {0, 0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *text = read_whole(path, &bytes);
    slj_doc doc = {.reader = {.max_depth = 256}};
    if (!slj_doc_parse(&doc, text, bytes)) {
        printf("  FAILED %s: cannot be parsed: %s\n", name, sl_json_reason_name(doc.reader.reason));
        out.failed++;
    } else {
        for (uint32_t g = 1; g < doc.nodes[0].end; g = doc.nodes[g].end) {
            run_group(name, &doc, g, formats, required, &out);
        }
    }
    slj_doc_free(&doc);
    free(text);
    return out;
}

static counts run_folder(const char *suite, const char *folder, bool formats, bool required) {
    char dir[900];
    struct dirent **entries;
    counts sum = {0, 0};
    snprintf(dir, sizeof dir, "%s/tests/draft2020-12%s", suite, folder);
    int n = scandir(dir, &entries, NULL, alphasort);
    if (n < 0) {
        perror(dir);
        exit(2);
    }
    for (int i = 0; i < n; i++) {
        char *dot = strrchr(entries[i]->d_name, '.');
        if (dot != NULL && strcmp(dot, ".json") == 0) {
            counts one = run_file(dir, entries[i]->d_name, formats, required);
            *dot = 0;
            if (!required) {
                printf("optional%s %s: %u of %u\n", formats ? " format" : "", entries[i]->d_name,
                       one.passed, one.passed + one.failed);
            }
            sum.passed += one.passed;
            sum.failed += one.failed;
        }
        free(entries[i]);
    }
    free(entries);
    return sum;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: json_suite SUITE_DIR [--verbose]\n");
        return 2;
    }
    verbose = argc > 2 && strcmp(argv[2], "--verbose") == 0;
    char dir[900];
    snprintf(dir, sizeof dir, "%s/remotes", argv[1]);
    read_remotes(dir, "http://localhost:1234");
    counts optional = run_folder(argv[1], "/optional", false, false);
    counts formats = run_folder(argv[1], "/optional/format", true, false);
    printf("optional: %u of %u\n", optional.passed + formats.passed,
           optional.passed + optional.failed + formats.passed + formats.failed);
    printf("required, JSON Schema draft 2020-12:\n");
    counts required = run_folder(argv[1], "", false, true);
    for (size_t i = 0; i < n_remotes; i++) {
        free((char *)remotes[i].uri);
        free((char *)remotes[i].text);
    }
    printf("%u passed, %u failed\n", required.passed, required.failed);
    return required.failed == 0 && required.passed > 0 ? 0 : 1;
}
