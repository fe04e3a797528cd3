"""A double of Power BI's push datasets. There is no emulator of the service: this is built from the
published REST reference ("Push Datasets") and the published limits ("Push semantic model
limitations"), and enforces them:

  75 columns and 75 tables; 10,000 rows and 16 MB a POST; 4,000 characters a string; 120 POSTs a
  minute, 5 pending, 1,000,000 rows an hour for a dataset; 120 POSTs an hour once a table holds
  250,000 rows or more; 200,000 rows kept with basicFIFO, 5,000,000 without, then it fails.

What a value may be is that of "Data types in Power BI Desktop": whole numbers but the least and the
largest of 64 bits, fixed decimals of 19 digits with four behind the point, dates from 1900 to 9999.

Beyond a limit it answers 429 with Retry-After, as the service does; `provoke` adds answers of trouble
(429, 503, a cut connection) that no limit asked for. How the real service words its errors, and how
exactly it counts its windows, is not published: a row is stored when its POST is answered 200.
"""

import datetime
import json
import random
import threading
import time
import uuid
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.doubles import tls
from tests.doubles.serving import Serving

SCOPE = "https://analysis.windows.net/powerbi/api/.default"
MINUTE_S, HOUR_S = 60, 3600
TYPES = {
    "Int64": lambda v: isinstance(v, int) and not isinstance(v, bool) and -(2**63) < v < 2**63 - 1,
    "Double": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "Decimal": lambda v: (
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= 922337203685477.5807
    ),
    "Boolean": lambda v: isinstance(v, bool),
    "DateTime": lambda v: isinstance(v, str) and _is_time(v),
    "String": lambda v: isinstance(v, str) and len(v.encode("utf-16-le")) <= 2 * 4000,
}


def _is_time(text):
    try:
        return 1900 <= datetime.datetime.fromisoformat(text).year
    except ValueError:
        return False


class _Table:
    def __init__(self, columns, keeps_all):
        self.columns = columns
        self.keeps_all = keeps_all
        self.rows = deque(maxlen=None if keeps_all else 200_000)

    def fault(self, row):
        for name, value in row.items():
            if name not in self.columns:
                return f"column '{name}' is not in the table"
            if value is not None and not TYPES[self.columns[name]](value):
                return f"'{str(value)[:40]}' is no {self.columns[name]} (column '{name}')"
        return None


class _Dataset:
    def __init__(self, name, tables):
        self.name = name
        self.tables = tables
        self.posts = deque()  # (time, rows) of the last hour
        self.pending = 0

    def over(self, now, table, rows):
        """Seconds after which this POST may come again, 0 when it may come now."""
        while self.posts and self.posts[0][0] <= now - HOUR_S:
            self.posts.popleft()
        minute = [at for at, _ in self.posts if at > now - MINUTE_S]
        large = table.keeps_all and len(table.rows) >= 250_000
        if self.pending >= 5:
            return 1
        if len(minute) >= 120:
            return minute[-120] + MINUTE_S - now
        if sum(n for _, n in self.posts) + rows > 1_000_000 or (large and len(self.posts) >= 120):
            return self.posts[0][0] + HOUR_S - now
        return 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, document=None, headers=()):
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status, code, message, headers=()):
        self._answer(status, {"error": {"code": code, "message": message}}, headers)

    def _authorized(self):
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        entra = self.server.double.entra
        if kind == "Bearer" and (entra is None or entra.valid(token, SCOPE)):
            return True
        self._refuse(401, "TokenExpired", "Access token has expired, resubmit with a new one")
        return False

    def _path(self):
        """The parts behind .../myorg[/groups/ID]; None when the group is another."""
        parts = [unquote(p) for p in urlsplit(self.path).path.split("/") if p]
        if parts[:2] != ["v1.0", "myorg"]:
            return None
        parts = parts[2:]
        group = self.server.double.workspace
        if group is not None:
            return parts[2:] if parts[:2] == ["groups", group] else None
        return parts

    def do_GET(self):
        if not self._authorized():
            return None
        if self._path() != ["datasets"]:
            return self._refuse(404, "ItemNotFound", "not here")
        with self.server.double.lock:
            found = [
                {"id": i, "name": d.name, "addRowsAPIEnabled": True}
                for i, d in self.server.double.datasets.items()
            ]
        return self._answer(200, {"value": found})

    def do_POST(self):
        double = self.server.double
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._authorized():
            return None
        path = self._path()
        if path == ["datasets"]:
            return self._make(json.loads(body))
        if path is None or len(path) != 5 or path[0::2] != ["datasets", "tables", "rows"]:
            return self._refuse(404, "ItemNotFound", "not here")
        trouble = double.draw()
        if trouble == "throttled":
            return self._refuse(429, "TooManyRequests", "provoked", [("Retry-After", "1")])
        if trouble == "busy":
            return self._refuse(503, "ServiceUnavailable", "provoked")
        if trouble == "cut":
            self.close_connection = True
            return None
        return self._take(path[1], path[3], body, lost=trouble == "lost")

    def _make(self, document):
        query = parse_qs(urlsplit(self.path).query)
        keeps_all = query.get("defaultRetentionPolicy", ["None"])[0].lower() == "none"
        tables = {}
        for table in document["tables"]:
            columns = {c["name"]: c["dataType"] for c in table["columns"]}
            if len(columns) > 75 or set(columns.values()) - set(TYPES):
                return self._refuse(400, "BadRequest", "too many columns, or an unknown type")
            tables[table["name"]] = _Table(columns, keeps_all)
        name = str(uuid.uuid4())
        with self.server.double.lock:
            self.server.double.datasets[name] = _Dataset(document["name"], tables)
        return self._answer(201, {"id": name, "name": document["name"]})

    def _take(self, dataset_id, table_name, body, lost):
        double = self.server.double
        with double.lock:
            dataset = double.datasets.get(dataset_id)
            table = dataset.tables.get(table_name) if dataset else None
        if table is None:
            return self._refuse(404, "PowerBIEntityNotFound", "no such table")
        rows = json.loads(body)["rows"]
        if len(rows) > 10_000 or len(body) > 16_000_000:
            return self._refuse(413, "RequestEntityTooLarge", f"{len(rows)} rows")
        fault = next(filter(None, map(table.fault, rows)), None)
        if fault is not None:
            return self._refuse(400, "BadRequest", fault)
        with double.lock:
            wait = dataset.over(time.monotonic(), table, len(rows))
            double.counts["unprovoked 429" if wait > 0 else "accepted"] += 1
            if wait <= 0:
                dataset.posts.append((time.monotonic(), len(rows)))
                table.rows.extend(rows)
                double.counts["rows"] += len(rows)
        if wait > 0:
            return self._refuse(429, "TooManyRequests", "", [("Retry-After", str(int(wait) + 1))])
        if lost:
            self.close_connection = True
            return None
        return self._answer(200)


class PowerBI(Serving):
    """`url` is the endpoint; `rows(dataset, table)` what a table holds; `counts` what happened.

    `provoke`: the share of POSTs that meet trouble of `troubles`, drawn by a seeded generator;
    "lost" stores the rows and cuts the connection before the answer. With `secrets` it speaks TLS
    (tests/doubles/tls.py)."""

    def __init__(
        self,
        entra=None,
        workspace=None,
        provoke=0.0,
        troubles=("throttled", "busy"),
        seed=0,
        secrets=None,
    ):
        self.entra, self.workspace = entra, workspace
        self.datasets = {}
        self.counts = Counter()
        self.lock = threading.Lock()
        self._provoke, self._troubles = provoke, troubles
        self._random = random.Random(seed)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.double = self
        if secrets is not None:
            tls.serve_by(self._server, secrets)
        scheme = "http" if secrets is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"

    def draw(self):
        with self.lock:
            if self._random.random() >= self._provoke:
                return None
            trouble = self._random.choice(self._troubles)
            self.counts[trouble] += 1
            return trouble

    def provoke(self, share, troubles=("throttled", "busy")):
        """From now on."""
        with self.lock:
            self._provoke, self._troubles = share, troubles

    def rows(self, dataset, table):
        with self.lock:
            (found,) = [d for d in self.datasets.values() if d.name == dataset]
            return list(found.tables[table].rows)
