"""An HTTP proxy before a server, that answers some requests as a service in trouble does.

Faults, drawn by a seeded generator for each request: `busy` (503, nothing is done), `throttled` (429
with Retry-After: 0), `reset` (the connection is cut before anything is done), `acted` (the server has
acted, then the connection is cut: the answer is lost), `slow` (the answer comes in small pieces).
Not a double of anything: what passes, passes through unchanged.
"""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("busy", "throttled", "reset", "acted", "slow")
PIECES = 8
PAUSE_S = 0.01
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _cut(self):
        """Ends the connection by a reset instead of an orderly end."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def _refuse(self, status, reason, headers=()):
        self.send_response(status, reason)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _forward(self, body):
        upstream = http.client.HTTPConnection(*self.server.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _pass_on(self, status, reason, headers, body, slowly):
        self.send_response_only(status, reason)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        size = max(1, -(-len(body) // PIECES)) if slowly else max(1, len(body))
        for at in range(0, len(body), size):
            self.wfile.write(body[at : at + size])
            self.wfile.flush()
            if slowly:
                time.sleep(PAUSE_S)

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.draw(self.command, self.path)
        if fault == "busy":
            return self._refuse(503, "Server Busy", [("x-ms-error-code", "ServerBusy")])
        if fault == "throttled":
            return self._refuse(429, "Too Many Requests", [("Retry-After", "0")])
        if fault == "reset":
            return self._cut()
        answer = self._forward(body)
        if fault == "acted":
            return self._cut()
        return self._pass_on(*answer, slowly=fault == "slow")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that went away is no news: sluice is killed in these tests."""


class FaultProxy:
    """`url` stands for the server at `upstream` ("http://127.0.0.1:1234"); `share` of the requests
    meet a fault; `counts` says how often each was drawn, None for none."""

    def __init__(self, upstream, share=0.05, seed=0, faults=FAULTS):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        self._server.upstream = (parts.hostname, parts.port)
        self._server.draw = self._draw
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._share, self._faults = share, faults
        self.counts = Counter()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _draw(self, command, path):
        """The fault that a request meets; None: none."""
        with self._lock:
            met = self._random.random() < self._share
            fault = self._random.choice(self._faults) if met else None
            self.counts[fault] += 1
            return fault

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
