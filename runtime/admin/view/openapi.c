/* /v1/openapi.json: what the endpoint has, as an OpenAPI 3.1 document. A test holds it against the
 * routes. */
#include "admin/embed.h"
#include "admin/handlers.h"

EMBED(openapi_document, "runtime/admin/view/openapi.json")

void answer_openapi(struct exchange *exchange) {
    exchange->status = 200;
    exchange->content_type = "application/json";
    (void)sl_buffer_append(&exchange->body, openapi_document,
                           (size_t)(openapi_document_end - openapi_document));
}
