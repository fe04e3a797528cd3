"""TLS for the servers of this folder: by server.pem and server.key in a folder of secrets, signed by
the authority in its ca.pem, as deploy/dev/azurite.sh makes them."""

import ssl


def serve_by(server, secrets):
    """Has a server that listens already speak TLS; handshakes are the handlers' threads' matter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secrets / "server.pem", secrets / "server.key")
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
