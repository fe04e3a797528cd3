"""An HTTP proxy before a server, that answers some requests as a service in trouble does.

Faults, drawn by a seeded generator for each request: `busy` (503, nothing is done), `throttled` (429
with Retry-After: 0), `reset` (the connection is cut before anything is done), `acted` (the server has
acted, then the connection is cut: the answer is lost), `slow` (the answer comes in small pieces).
Only where they are asked for, since they cost a client its time-outs: `mute` (the server has acted,
and the answer never comes), `loris` (it comes byte by byte, without end). And `changed`: one byte of
the request's body is another one when it arrives.
Not a double of anything: what passes, passes through unchanged.
"""

import http.client
import io
import random
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.doubles import tls
from tests.doubles.serving import ProxyServer, Serving

FAULTS = ("busy", "throttled", "reset", "acted", "slow")
PIECES = 8
PAUSE_S = 0.01
LORIS_PAUSE_S = 0.3
MUTE_S = 120  # longer than any client waits
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
        upstream = self.server.connect()
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

    def _changed(self, body):
        """The answer to another body; when it is refused, by the name that Azure has for it
        (Azurite's is InvalidOperation)."""
        changed = body[:-1] + bytes([body[-1] ^ 1])
        status, reason, headers, text = self._forward(changed)
        if status == 400:
            headers = [(name, value) for name, value in headers if name.lower() != "x-ms-error-code"]
            headers.append(("x-ms-error-code", "Md5Mismatch"))
        return status, reason, headers, text

    def _wait_until_gone(self, seconds):
        """True when the client has closed the connection within that time."""
        self.connection.settimeout(seconds)
        try:
            return not self.connection.recv(1)
        except TimeoutError:
            return False

    def _dribble(self, answer):
        """The answer as a slow loris gives it, until the client has enough of it."""
        real, self.wfile = self.wfile, io.BytesIO()
        self._pass_on(*answer, slowly=False)
        text, self.wfile = self.wfile.getvalue(), real
        self.close_connection = True
        for byte in text:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self._wait_until_gone(LORIS_PAUSE_S):
                return self.server.count("given up")

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.server.authorized(self.headers.get("Authorization", "")):
            self.server.count("refused")
            code = [("x-ms-error-code", "InvalidAuthenticationInfo")]
            return self._refuse(401, "Unauthorized", code)
        fault = self.server.draw(self.command, self.path)
        if fault == "busy":
            return self._refuse(503, "Server Busy", [("x-ms-error-code", "ServerBusy")])
        if fault == "throttled":
            return self._refuse(429, "Too Many Requests", [("Retry-After", "0")])
        if callable(fault):
            fault(lambda: self._forward(body))
            return self._cut()
        if fault == "reset":
            return self._cut()
        if fault == "changed" and body:
            return self._pass_on(*self._changed(body), slowly=False)
        answer = self._forward(body)
        if fault == "acted":
            return self._cut()
        if fault == "mute":
            if self._wait_until_gone(MUTE_S):
                self.server.count("given up")
            return self._cut()
        if fault == "loris":
            return self._dribble(answer)
        return self._pass_on(*answer, slowly=fault == "slow")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve


class FaultProxy(Serving):
    """`url` stands for the server at `upstream` ("http://127.0.0.1:1234"); `share` of the requests
    meet a fault; `counts` says how often each was drawn, None for none, and how often a client has
    "given up" a mute server or a slow loris.

    An upstream of https needs `secrets`, the folder with the server's certificate and its authority's
    (tests/support/servers.py: Azurite): the proxy speaks TLS by the same. `authorized`: tells whether
    a value of the header Authorization is good; if not, the answer is 401, as Azure gives it, and
    it is counted as "refused"."""

    def __init__(
        self, upstream, share=0.05, seed=0, faults=FAULTS, secrets=None, authorized=lambda value: True
    ):
        self._server = ProxyServer(("127.0.0.1", 0), _Handler)
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._trusted = None
        if secrets is not None:
            self._trusted = ssl.create_default_context(cafile=secrets / "ca.pem")
            tls.serve_by(self._server, secrets)
        self._server.connect = self._connect
        self._server.draw = self._draw
        self._server.authorized = authorized
        self._server.count = self._count
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._share, self._faults = share, faults
        self.counts = Counter()
        self.url = f"{parts.scheme}://127.0.0.1:{self._server.server_port}"

    def _count(self, event):
        with self._lock:
            self.counts[event] += 1

    def _connect(self):
        if self._trusted is None:
            return http.client.HTTPConnection(*self._upstream, timeout=60)
        return http.client.HTTPSConnection(*self._upstream, timeout=60, context=self._trusted)

    def _draw(self, command, path):
        """The fault that a request meets; None: none. A function gets the forwarding as a function,
        to call it when it likes; then the connection is cut."""
        with self._lock:
            met = self._random.random() < self._share
            fault = self._random.choice(self._faults) if met else None
            self.counts[fault] += 1
            return fault
