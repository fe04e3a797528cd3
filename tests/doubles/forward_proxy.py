"""A forward proxy (RFC 9110, 7.6; RFC 9112, 3.2.2), as stands before many networks: CONNECT makes a
tunnel, a request with an absolute URL is passed on. `tunnels` and `requests` count the targets, and
`logins` is what came as Proxy-Authorization. With `routes` ("api.powerbi.com:443" to "127.0.0.1:4711")
it stands for the internet: a topology reaches the doubles by the real names, and nothing else.
"""

import http.client
import select
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.doubles.serving import ProxyServer, Serving

CHUNK_BYTES = 1 << 16
DROPPED = {"connection", "keep-alive", "proxy-connection", "proxy-authorization"}
REPLACED = {"connection", "transfer-encoding", "content-length", "date", "server"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _count(self, counter, target):
        with self.server.lock:
            counter[target] += 1
            self.server.logins.add(self.headers.get("Proxy-Authorization"))

    def do_CONNECT(self):
        self._count(self.server.tunnels, self.path)
        self.close_connection = True
        routes = self.server.routes
        target = self.path if routes is None else routes.get(self.path)
        if target is None:
            self.send_error(502, "no such host here")
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), 60) as upstream:
            self.send_response_only(200, "Connection established")
            self.end_headers()
            ends = {self.connection: upstream, upstream: self.connection}
            while True:
                for end in select.select([*ends], [], [])[0]:
                    data = end.recv(CHUNK_BYTES)
                    if not data:
                        return
                    ends[end].sendall(data)

    def _pass_on(self):
        target = urlsplit(self.path)
        self._count(self.server.requests, target.netloc)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream = http.client.HTTPConnection(target.netloc, timeout=60)
        path = target.path + (f"?{target.query}" if target.query else "")
        try:
            upstream.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in DROPPED:
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in REPLACED or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on


class ForwardProxy(Serving):
    """`address` is "127.0.0.1:PORT"; what is counted is said above."""

    def __init__(self, routes=None):
        self._server = ProxyServer(("127.0.0.1", 0), _Handler)
        self._server.routes = routes
        self._server.lock = threading.Lock()
        self.tunnels = self._server.tunnels = Counter()
        self.requests = self._server.requests = Counter()
        self.logins = self._server.logins = set()
        self.address = f"127.0.0.1:{self._server.server_port}"
