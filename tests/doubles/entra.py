"""A double of Microsoft Entra ID's token endpoint and of the metadata service (IMDS).

Built from the published documentation (OAuth 2.0 client credentials flow; "How to use managed
identities on a virtual machine to acquire an access token"), not from a recording: it checks what
these pages say is required, and refuses with the errors that they show. Tokens are JWTs (RFC 7519)
with the claims of an application's token, so that Azurite takes them; nobody checks their signature.
`valid(token, scope)` tells a double of a service whether to take one.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_bytes, token_urlsafe
from urllib.parse import parse_qs, urlsplit

from tests.doubles import tls
from tests.doubles.serving import Serving

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NO_SUCH_CLIENT = "AADSTS700016: Application was not found in the directory."
WRONG_SECRET = "AADSTS7000215: Invalid client secret provided."
WRONG_ASSERTION = "AADSTS700213: No matching federated identity record found."


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status, error, description):
        self._answer(status, {"error": error, "error_description": description})

    def do_POST(self):
        entra = self.server.entra
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        path = urlsplit(self.path).path
        entra.requests["token"] += 1
        if path != f"/{entra.tenant}/oauth2/v2.0/token":
            return self._refuse(400, "invalid_tenant", "AADSTS90002: Tenant not found.")
        if form.get("grant_type") != "client_credentials" or "scope" not in form:
            return self._refuse(400, "invalid_request", "AADSTS900144: A parameter is missing.")
        if form.get("client_id") != entra.client:
            return self._refuse(400, "unauthorized_client", NO_SUCH_CLIENT)
        if "client_assertion" in form:
            good = form.get("client_assertion_type") == ASSERTION
            if not good or form["client_assertion"] != entra.assertion:
                return self._refuse(401, "invalid_client", WRONG_ASSERTION)
        elif form.get("client_secret") != entra.secret:
            return self._refuse(401, "invalid_client", WRONG_SECRET)
        return self._answer(
            200,
            {
                "token_type": "Bearer",
                "expires_in": entra.lifetime_s,
                "access_token": entra.issue(form["scope"]),
            },
        )

    def do_GET(self):
        entra = self.server.entra
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        entra.requests["identity"] += 1
        if parts.path != "/metadata/identity/oauth2/token":
            return self._refuse(404, "not_found", "")
        if self.headers.get("Metadata") != "true":
            return self._refuse(400, "invalid_request", "Required metadata header not specified")
        if query.get("api-version") != "2018-02-01" or "resource" not in query:
            return self._refuse(400, "invalid_request", "Required query variables are missing")
        return self._answer(
            200,
            {
                "token_type": "Bearer",
                "expires_in": str(entra.lifetime_s),
                "access_token": entra.issue(query["resource"] + "/.default"),
            },
        )


class Entra(Serving):
    """`url` is both the authority and the metadata service. Tokens last `lifetime_s`. With `secrets`
    it speaks TLS (tests/doubles/tls.py)."""

    tenant = "72f988bf-0000-0000-0000-2d7cd011db47"
    client = "11111111-2222-3333-4444-555555555555"
    secret = "the~secret+of/the=client"
    assertion = "eyJ.the.federated-token"

    def __init__(self, lifetime_s=3600, secrets=None):
        self.lifetime_s = lifetime_s
        self.requests = Counter()
        self._issued = {}
        self._key = token_bytes(32)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.entra = self
        if secrets is not None:
            tls.serve_by(self._server, secrets)
        scheme = "http" if secrets is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def issue(self, scope):
        now = int(time.time())
        token = self._signed(
            {
                "aud": scope.removesuffix("/.default"),
                "iss": f"https://sts.windows.net/{self.tenant}/",
                "iat": now,
                "nbf": now,
                "exp": now + self.lifetime_s,
                "appid": self.client,
                "tid": self.tenant,
                "uti": token_urlsafe(16),
            }
        )
        with self._lock:
            self._issued[token] = (scope, time.monotonic() + self.lifetime_s)
        return token

    def _signed(self, claims):
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        text = b".".join(map(_base64url, parts))
        return (text + b"." + _base64url(hmac.digest(self._key, text, hashlib.sha256))).decode()

    def valid(self, token, scope):
        with self._lock:
            issued = self._issued.get(token)
        return issued is not None and issued[0] == scope and time.monotonic() < issued[1]

    def forget(self):
        """Revokes every token: the next use of one is refused."""
        with self._lock:
            self._issued.clear()

    def tokens(self):
        """All that were issued: no log may hold one."""
        with self._lock:
            return list(self._issued)
