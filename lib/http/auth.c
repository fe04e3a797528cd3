/* What is common to all kinds of authorization. */
#include "http/http.h"

void sl_http_auth_close(sl_http_auth *auth) {
    if (auth != NULL) {
        auth->ops->close(auth);
    }
}
