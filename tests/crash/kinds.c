/* From a path to its kind, by the layout of the lake and of the state store that the crash tests'
 * topology has: lake/... holds tables (lake/plain/... plain files), state/... the state store;
 * beside them lies the topology's file. */
#include "preload.h"

#include <string.h>

const char *const kind_names[KINDS] = {
    [KIND_NONE] = "none",
    [KIND_DATA_FILE] = "data-file",
    [KIND_DATA_TEMPORARY] = "data-temporary",
    [KIND_LOG_ENTRY] = "log-entry",
    [KIND_LOG_TEMPORARY] = "log-temporary",
    [KIND_CHECKPOINT] = "checkpoint",
    [KIND_LAST_CHECKPOINT] = "last-checkpoint",
    [KIND_SEGMENT] = "segment",
    [KIND_SEGMENT_TEMPORARY] = "segment-temporary",
    [KIND_CHAIN_ENTRY] = "chain-entry",
    [KIND_CHAIN_TEMPORARY] = "chain-temporary",
    [KIND_BASE] = "chain-base",
    [KIND_BASE_TEMPORARY] = "chain-base-temporary",
    [KIND_DELTA] = "group-delta",
    [KIND_DELTA_TEMPORARY] = "group-delta-temporary",
    [KIND_POSITIONS] = "positions",
    [KIND_POSITIONS_TEMPORARY] = "positions-temporary",
    [KIND_EDITION] = "config-edition",
    [KIND_EDITION_TEMPORARY] = "config-edition-temporary",
    [KIND_RUN] = "run-mark",
    [KIND_RUN_TEMPORARY] = "run-mark-temporary",
    [KIND_SEEN] = "seen-mark",
    [KIND_SEEN_TEMPORARY] = "seen-mark-temporary",
    [KIND_TARGETS] = "targets",
    [KIND_TARGETS_TEMPORARY] = "targets-temporary",
    [KIND_HISTORY] = "history",
    [KIND_HISTORY_TEMPORARY] = "history-temporary",
    [KIND_CLOSE] = "close-record",
    [KIND_CLOSE_TEMPORARY] = "close-record-temporary",
    [KIND_PLAIN_FILE] = "plain-file",
    [KIND_PLAIN_TEMPORARY] = "plain-temporary",
    [KIND_KNOWN] = "known-mark",
    [KIND_KNOWN_TEMPORARY] = "known-mark-temporary",
    [KIND_KAFKA] = "kafka",
    [KIND_TOPOLOGY] = "topology",
    [KIND_TOPOLOGY_TEMPORARY] = "topology-temporary",
    [KIND_TOP_FOLDER] = "top-folder",
    [KIND_TABLE_FOLDER] = "table-folder",
    [KIND_LOG_FOLDER] = "log-folder",
    [KIND_STATE_FOLDER] = "state-folder",
    [KIND_OTHER] = "other",
};

static bool ends_in(const char *text, const char *end) {
    size_t text_bytes = strlen(text), end_bytes = strlen(end);
    return text_bytes >= end_bytes && strcmp(text + text_bytes - end_bytes, end) == 0;
}

static enum kind folder_kind(const char *path) {
    if (ends_in(path, "/_delta_log")) {
        return KIND_LOG_FOLDER;
    }
    return strncmp(path, "/state", 6) == 0 ? KIND_STATE_FOLDER : KIND_TABLE_FOLDER;
}

static enum kind lake_kind(const char *path, const char *name, bool temporary) {
    if (strncmp(path, "/lake/plain/", 12) == 0) {
        return temporary ? KIND_PLAIN_TEMPORARY : KIND_PLAIN_FILE;
    }
    if (strstr(path, "/_delta_log/") == NULL) {
        return temporary ? KIND_DATA_TEMPORARY : KIND_DATA_FILE;
    }
    if (temporary) {
        return KIND_LOG_TEMPORARY;
    }
    if (strcmp(name, "_last_checkpoint") == 0) {
        return KIND_LAST_CHECKPOINT;
    }
    return strstr(name, ".checkpoint.") != NULL ? KIND_CHECKPOINT : KIND_LOG_ENTRY;
}

static enum kind state_kind(const char *path, bool temporary) {
    static const struct {
        const char *folder;
        enum kind kind, temporary_kind;
    } folders[] = {
        {"/log/", KIND_CHAIN_ENTRY, KIND_CHAIN_TEMPORARY},
        {"/base/", KIND_BASE, KIND_BASE_TEMPORARY},
        {"/delta/", KIND_DELTA, KIND_DELTA_TEMPORARY},
        {"/positions/", KIND_POSITIONS, KIND_POSITIONS_TEMPORARY},
        {"/closes/", KIND_CLOSE, KIND_CLOSE_TEMPORARY},
        {"/known/", KIND_KNOWN, KIND_KNOWN_TEMPORARY},
        {"/config/", KIND_EDITION, KIND_EDITION_TEMPORARY},
        {"/runs/", KIND_RUN, KIND_RUN_TEMPORARY},
        {"/seen/", KIND_SEEN, KIND_SEEN_TEMPORARY},
        {"/targets/", KIND_TARGETS, KIND_TARGETS_TEMPORARY},
        {"/history/", KIND_HISTORY, KIND_HISTORY_TEMPORARY},
    };
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (strstr(path, folders[i].folder) != NULL) {
            return temporary ? folders[i].temporary_kind : folders[i].kind;
        }
    }
    return temporary ? KIND_SEGMENT_TEMPORARY : ends_in(path, ".seg") ? KIND_SEGMENT : KIND_OTHER;
}

enum kind kind_of(const char *root, const char *path, bool folder) {
    static const char topology[] = "/topology.json";
    size_t root_bytes = strlen(root);
    if (root_bytes == 0 || strncmp(path, root, root_bytes) != 0) {
        return KIND_NONE;
    }
    path += root_bytes;
    if (*path != '/') {
        return *path == 0 && folder ? KIND_TOP_FOLDER : KIND_NONE;
    }
    if (strncmp(path, topology, sizeof(topology) - 1) == 0) {
        return path[sizeof(topology) - 1] == 0 ? KIND_TOPOLOGY : KIND_TOPOLOGY_TEMPORARY;
    }
    const char *name = strrchr(path, '/') + 1;
    bool temporary = strncmp(name, ".sluice-tmp-", 12) == 0;
    if (strncmp(path, "/lake/", 6) == 0) {
        return folder ? folder_kind(path) : lake_kind(path, name, temporary);
    }
    if (strncmp(path, "/state/", 7) == 0) {
        return folder ? folder_kind(path) : state_kind(path, temporary);
    }
    return KIND_NONE;
}
