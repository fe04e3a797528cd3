/* The client's certificate, by GnuTLS, which libmicrohttpd's TLS is (see peer.h). */
#include "admin/access/peer.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

static bool is_trusted(gnutls_session_t session) {
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned status = 1;
    return gnutls_certificate_verify_peers(session, &purpose, 1, &status) == GNUTLS_E_SUCCESS &&
           status == 0;
}

static bool read_name(const gnutls_datum_t *der, char *out, size_t room) {
    gnutls_x509_crt_t certificate;
    if (gnutls_x509_crt_init(&certificate) != GNUTLS_E_SUCCESS) {
        return false;
    }
    size_t bytes = room;
    bool good = gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) == GNUTLS_E_SUCCESS &&
                gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, out,
                                              &bytes) == GNUTLS_E_SUCCESS &&
                strlen(out) == bytes; /* no 0 byte hides in it */
    gnutls_x509_crt_deinit(certificate);
    return good;
}

bool peer_name(struct MHD_Connection *connection, char *out, size_t room) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL || info->tls_session == NULL) {
        return false;
    }
    gnutls_session_t session = info->tls_session;
    unsigned n = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &n);
    return chain != NULL && n > 0 && is_trusted(session) && read_name(&chain[0], out, room);
}
