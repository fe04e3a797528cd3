/* The Azure Blob store's listing: List Blobs page by page, read with expat as it comes. */
#include <expat.h>
#include <stdlib.h>

#include "store/azure.h"

#define PAGE_BLOBS 5000

typedef struct listing {
    const azure_store *azure;
    const char *start_after;
    sl_store_visit visit;
    void *arg;
    XML_Parser parser;
    bool stopped;
    /* the element that is open, and the blob that it belongs to */
    sl_buffer text;
    bool in_blob;
    bool folder; /* a directory of a hierarchical account */
    bool encoded;
    sl_buffer name;
    int64_t bytes;
    int64_t modified_ms;
    sl_buffer marker;
} listing;

static void take_text(void *arg, const XML_Char *text, int bytes) {
    listing *list = arg;
    sl_buffer_append(&list->text, text, (size_t)bytes);
}

static void open_element(void *arg, const XML_Char *name, const XML_Char **attributes) {
    listing *list = arg;
    sl_buffer_clear(&list->text);
    if (strcmp(name, "Blob") == 0) {
        list->in_blob = true;
        list->folder = false;
        list->bytes = -1;
        list->modified_ms = 0;
        sl_buffer_clear(&list->name);
    } else if (strcmp(name, "Name") == 0) {
        list->encoded = attributes[0] != NULL && strcmp(attributes[0], "Encoded") == 0 &&
                        strcmp(attributes[1], "true") == 0;
    }
}

/* A name that XML cannot hold comes percent-encoded. */
static void take_name(listing *list) {
    const char *text = (const char *)list->text.data;
    if (list->encoded) {
        (void)sl_percent_decode(&list->name, text, list->text.bytes);
    } else {
        sl_buffer_append(&list->name, text, list->text.bytes);
    }
}

static void end_blob(listing *list) {
    const char *name = sl_buffer_text(&list->name);
    size_t root_bytes = strlen(list->azure->place.root);
    list->in_blob = false;
    if (name == NULL || list->stopped || list->folder || list->name.bytes <= root_bytes) {
        return;
    }
    sl_store_entry entry = {
        .path = name + root_bytes, .bytes = list->bytes, .modified_ms = list->modified_ms};
    if (list->start_after == NULL || strcmp(entry.path, list->start_after) > 0) {
        list->stopped = list->visit(&entry, list->arg) != 0;
    }
}

static void close_element(void *arg, const XML_Char *name) {
    listing *list = arg;
    const char *text = (const char *)list->text.data;
    size_t bytes = list->text.bytes;
    if (strcmp(name, "NextMarker") == 0) {
        sl_buffer_clear(&list->marker);
        sl_buffer_append(&list->marker, text, bytes);
    } else if (!list->in_blob) {
        return; /* a BlobPrefix, or the listing's head */
    } else if (strcmp(name, "Name") == 0) {
        take_name(list);
    } else if (strcmp(name, "Content-Length") == 0) {
        if (!sl_parse_i64(text, bytes, &list->bytes)) {
            list->bytes = -1;
        }
    } else if (strcmp(name, "Last-Modified") == 0) {
        list->modified_ms = sl_azure_date_ms(text, bytes);
    } else if (strcmp(name, "ResourceType") == 0) {
        list->folder = bytes == 9 && memcmp(text, "directory", 9) == 0;
    } else if (strcmp(name, "Blob") == 0) {
        end_blob(list);
    }
    sl_buffer_clear(&list->text);
}

static sl_error *parse(listing *list, const sl_http_answer *page) {
    list->parser = XML_ParserCreate("UTF-8");
    if (list->parser == NULL) {
        return sl_error_no_memory();
    }
    XML_SetUserData(list->parser, list);
    XML_SetElementHandler(list->parser, open_element, close_element);
    XML_SetCharacterDataHandler(list->parser, take_text);
    enum XML_Status status =
        XML_Parse(list->parser, (const char *)page->body.data, (int)page->body.bytes, XML_TRUE);
    sl_error *error = NULL;
    if (list->text.failed || list->name.failed || list->marker.failed) {
        error = sl_error_no_memory();
    } else if (status != XML_STATUS_OK && !list->stopped) {
        error = sl_error_new(SL_ERROR_RETRIABLE, "cannot list %s: the answer is no XML: %s",
                             list->azure->url, XML_ErrorString(XML_GetErrorCode(list->parser)));
    }
    XML_ParserFree(list->parser);
    return error;
}

static sl_error *one_page(listing *list, const char *prefix, int recursive) {
    sl_buffer query = SL_BUFFER_INIT;
    sl_buffer_printf(&query, "restype=container&comp=list&maxresults=%d&prefix=", PAGE_BLOBS);
    sl_percent_encode(&query, list->azure->place.root, strlen(list->azure->place.root), "");
    sl_percent_encode(&query, prefix, strlen(prefix), "");
    if (!recursive) {
        sl_buffer_append_text(&query, "&delimiter=%2F");
    }
    if (list->marker.bytes > 0 && sl_buffer_text(&list->marker) != NULL) {
        sl_buffer_append_text(&query, "&marker=");
        sl_percent_encode(&query, (const char *)list->marker.data, list->marker.bytes, "");
    }
    azure_call call = {.method = "GET", .action = "list", .query = sl_buffer_text(&query)};
    sl_http_answer page;
    sl_error *error =
        call.query == NULL ? sl_error_no_memory() : sl_azure_perform(list->azure, &call, &page);
    if (error == NULL) {
        sl_buffer_clear(&list->marker);
        error = parse(list, &page);
        sl_http_answer_free(&page);
    }
    sl_buffer_free(&query);
    return error;
}

sl_error *sl_azure_list(sl_store *store, const char *prefix, const char *start_after, int recursive,
                        sl_store_visit visit, void *arg) {
    azure_store *azure = (azure_store *)store;
    sl_error *error = sl_store_check_prefix(azure->url, prefix);
    if (error != NULL) {
        return error;
    }
    listing list = {.azure = azure, .start_after = start_after, .visit = visit, .arg = arg};
    do {
        error = one_page(&list, prefix, recursive);
    } while (error == NULL && !list.stopped && list.marker.bytes > 0);
    sl_buffer_free(&list.text);
    sl_buffer_free(&list.name);
    sl_buffer_free(&list.marker);
    return error;
}
