"""How the servers of this folder run: each in threads of its own, as long as its `with` block."""

import threading
from http.server import ThreadingHTTPServer


class Serving:
    """Serves by `self._server` inside of a `with` block."""

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class ProxyServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A side that went away is no news: sluice is killed in these tests."""
