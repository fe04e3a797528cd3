/*
 * Adding up the ground truth, and writing it for a test or a demo to compare with.
 */
#include "truth.h"

#include <errno.h>
#include <stdio.h>

void truth_add(struct truth *sum, const struct truth *part) {
    sum->events += part->events;
    sum->valid_unique += part->valid_unique;
    sum->duplicates += part->duplicates;
    sum->late += part->late;
    sum->too_late += part->too_late;
    for (int i = 0; i < FAULTS; i++) {
        sum->invalid[i] += part->invalid[i];
    }
    for (int i = 0; i < EVENT_TYPES; i++) {
        sum->gold[i].events += part->gold[i].events;
        sum->gold[i].cents += part->gold[i].cents;
    }
}

void truth_of_range(const struct event_plan *plan, int32_t partition, int64_t end,
                    struct truth *out) {
    memset(out, 0, sizeof(*out));
    for (int64_t offset = 0; offset < end; offset++) {
        struct event_facts facts;
        event_look(plan, partition, offset, &facts);
        truth_count(out, &facts);
    }
}

static void append_json(const struct truth *truth, sl_buffer *out) {
    int64_t invalid = 0;
    for (int i = 0; i < FAULTS; i++) {
        invalid += truth->invalid[i];
    }
    sl_buffer_printf(out,
                     "{\n  \"events\": %lld,\n  \"valid_unique\": %lld,\n  \"duplicates\": %lld,\n"
                     "  \"late\": %lld,\n  \"too_late\": %lld,\n  \"invalid_total\": %lld,\n"
                     "  \"invalid\": {",
                     (long long)truth->events, (long long)truth->valid_unique,
                     (long long)truth->duplicates, (long long)truth->late,
                     (long long)truth->too_late, (long long)invalid);
    for (int i = 0; i < FAULTS; i++) {
        sl_buffer_printf(out, "%s\"%s\": %lld", i == 0 ? "" : ", ", event_fault_names[i],
                         (long long)truth->invalid[i]);
    }
    sl_buffer_append_text(out, "},\n  \"gold\": {");
    for (int i = 0; i < EVENT_TYPES; i++) {
        sl_buffer_printf(out, "%s\"%s\": {\"events\": %lld, \"amount_cents\": %lld}",
                         i == 0 ? "" : ", ", event_type_names[i], (long long)truth->gold[i].events,
                         (long long)truth->gold[i].cents);
    }
    sl_buffer_append_text(out, "}\n}\n");
}

static sl_error *write_file(const char *path, const sl_buffer *text) {
    FILE *file = fopen(path, "we");
    size_t written = file == NULL ? 0 : fwrite(text->data, 1, text->bytes, file);
    int broken = file == NULL || written != text->bytes;
    if (file != NULL && fclose(file) != 0) {
        broken = 1;
    }
    return broken ? sl_error_new(SL_ERROR_RETRIABLE, "cannot write the truth to %s: %s", path,
                                 strerror(errno))
                  : NULL;
}

sl_error *truth_write(const struct truth *truth, const char *path) {
    sl_buffer text = SL_BUFFER_INIT;
    sl_buffer temporary = SL_BUFFER_INIT;
    append_json(truth, &text);
    sl_buffer_printf(&temporary, "%s.part", path);
    const char *part = sl_buffer_text(&temporary);
    sl_error *error = text.failed || part == NULL ? sl_error_no_memory() : write_file(part, &text);
    if (error == NULL && rename(part, path) != 0) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "cannot write the truth to %s: %s", path,
                             strerror(errno));
    }
    sl_buffer_free(&text);
    sl_buffer_free(&temporary);
    return error;
}
