#!/usr/bin/env python3
"""A double of Prometheus' HTTP API for the light tier: every query has one answer, by what it asks and for which namespace.

usage: fakeprom.py [PORT]      GET /set?success=99.9&duration=80 changes the answers, GET /count tells how many queries there were
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A value, "none" for no sample, or "down" for a server that cannot answer.
Answer = float | str
HEALTHY: dict[str, Answer] = {"success": 99.9, "duration": 80.0, "custom": 1.0}


def kind_of(query: str) -> str:
    """What a query asks for."""
    if "custom_metric" in query:
        return "custom"
    return "duration" if "histogram_quantile" in query or "_sum" in query else "success"


class Server(ThreadingHTTPServer):
    """Many clients at once."""

    request_queue_size = 512
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Reads a request's parameters and writes JSON or text."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def body(self) -> str:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("content-length") or 0)).decode()

    def reply(self, code: int, content: object) -> None:
        """Sends a response."""
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class FakePrometheus:
    """The answers, for all namespaces or for one; `heard` is told of every query that names a namespace of `answers`."""

    def __init__(self, heard: Callable[[str, str, Answer], None] | None = None) -> None:
        self.answers: dict[str, dict[str, Answer]] = {"": dict(HEALTHY)}
        self.heard = heard
        self.count = 0
        self.lock = threading.Lock()

    def answer(self, query: str) -> Answer:
        """The answer to a query, in the unit that its metric has."""
        with self.lock:
            self.count += 1
        if "vector(" in query:
            return 1.0
        kind = kind_of(query)
        # The longest name that is in the text: one namespace's name may begin another's.
        namespace = max((name for name in self.answers if name in query), key=len)
        value = self.answers[namespace].get(kind, self.answers[""][kind])
        if kind == "duration" and "seconds" in query and isinstance(value, float):
            value /= 1000
        if namespace and self.heard:
            self.heard(namespace, " ".join(query.split()), value)
        return value

    def reply(self, handler: Handler) -> None:
        """Answers a request."""
        url = urllib.parse.urlsplit(handler.path)
        parameters = dict(urllib.parse.parse_qsl(url.query + "&" + handler.body()))
        if url.path == "/set":
            self.answers[""] |= {name: float(value) for name, value in parameters.items()}
            handler.reply(200, self.answers[""])
        elif url.path == "/count":
            handler.reply(200, {"queries": self.count})
        elif url.path.startswith("/api/v1/query"):
            value = self.answer(parameters.get("query", ""))
            if value == "down":
                handler.reply(503, "unavailable")
                return
            samples: list[Any] = [] if value == "none" else [{"metric": {}, "value": [time.time(), str(value)]}]
            handler.reply(200, {"status": "success", "data": {"resultType": "vector", "result": samples}})
        else:
            handler.reply(200, {"status": "success", "data": {}})

    def server(self, port: int) -> Server:
        """The server on loopback."""
        fake = self

        class Prometheus(Handler):
            def do_GET(self) -> None:
                fake.reply(self)

            do_POST = do_GET  # noqa: N815

        return Server(("127.0.0.1", port), Prometheus)


if __name__ == "__main__":
    FakePrometheus().server(int(sys.argv[1]) if len(sys.argv) > 1 else 19090).serve_forever()
