"""A FHIR server that speaks Bulk Data and SMART Backend Services, as a process of its own on a free port of loopback.

    python -m tests.screening.bulk_server EXPORT_DIR PUBLIC_KEY [--break-after BYTES] [--short-tokens] [--pack]

Prints its port. What was asked of it stands at /log, as JSON. With --break-after each file's first download ends early;
with --pack files are sent as gzip, wanted or not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import secrets
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

CLIENT = "legcramp-screening"


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.folder: Path = options.folder
        self.public_key = options.public_key.read_bytes()
        self.break_after: int = options.break_after
        self.short_tokens: bool = options.short_tokens
        self.pack: bool = options.pack
        self.tokens: dict[str, int] = {}
        """Each token, and how many requests it still opens."""
        self.assertions: set[str] = set()
        self.polls = 0
        self.broken: set[str] = set()
        self.request = ""
        self.log: list[str] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/fhir"

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.ndjson"))

    def token_for(self, form: dict[str, list[str]]) -> str | None:
        """A token for a sound assertion that was never used."""
        try:
            claims = jwt.decode(
                form["client_assertion"][0],
                self.public_key,
                algorithms=["ES384"],
                audience=f"http://127.0.0.1:{self.server_port}/token",
                options={"require": ["exp", "iat", "iss", "sub", "jti", "aud"]},
            )
        except (jwt.PyJWTError, KeyError):
            return None
        if not claims["iss"] == claims["sub"] == CLIENT or claims["jti"] in self.assertions:
            return None
        self.assertions.add(claims["jti"])
        token = secrets.token_urlsafe()
        self.tokens[token] = 3 if self.short_tokens else 1_000
        return token


class Answers(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/log":
            self.send(200, self.server.log)
            return
        self.server.log.append(f"GET {path} {self.headers.get('Range', '')}".strip())
        if path == "/fhir/.well-known/smart-configuration":
            self.send(200, {"token_endpoint": f"http://127.0.0.1:{self.server.server_port}/token"})
        elif not self.is_known():
            self.send(401, {})
        elif path in ("/fhir/$export", "/fhir/Group/g1/$export"):
            self.begin()
        elif path == "/fhir/status/1":
            self.status()
        elif path.startswith("/fhir/files/"):
            self.file(path.rpartition("/")[2])
        else:
            self.send(404, {})

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.log.append(f"POST {self.path}")
        token = self.server.token_for(form)
        if token is None:
            self.send(400, {"error": "invalid_client"})
        else:
            self.send(200, {"access_token": token, "token_type": "bearer", "expires_in": 300})

    def do_DELETE(self) -> None:
        self.server.log.append(f"DELETE {self.path}")
        self.send(202, {})

    def is_known(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        left = self.server.tokens.get(token, 0)
        if left:
            self.server.tokens[token] = left - 1
        return left > 0

    def begin(self) -> None:
        if self.headers["Prefer"] != "respond-async" or self.headers["Accept"] != "application/fhir+json":
            self.send(400, {})
            return
        self.server.request = self.server.base + self.path.removeprefix("/fhir")
        self.send(202, {}, {"Content-Location": f"{self.server.base}/status/1"})

    def status(self) -> None:
        self.server.polls += 1
        if self.server.polls < 3:
            self.send(202, {}, {"Retry-After": "0", "X-Progress": f"{30 * self.server.polls}%"})
            return
        if self.server.polls == 3:
            self.send(429, {}, {"Retry-After": "0"})
            return
        files = [
            {"type": path.name.partition(".")[0], "url": f"{self.server.base}/files/{at}"}
            for at, path in enumerate(self.server.files())
        ]
        told = {"transactionTime": "2026-03-10T00:00:00Z", "request": self.server.request, "output": files}
        self.send(200, told | {"requiresAccessToken": True, "error": []})

    def file(self, number: str) -> None:
        data = self.server.files()[int(number)].read_bytes()
        if self.server.pack:
            data = gzip.compress(data, mtime=0)
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if begin >= len(data):
            self.send(416, {}, {"Content-Range": f"bytes */{len(data)}"})
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", "application/fhir+ndjson")
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        most = self.server.break_after
        if most and number not in self.server.broken and len(data) - begin > most:
            self.server.broken.add(number)
            self.wfile.write(data[begin : begin + most])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(data[begin:])

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (
            {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("public_key", type=Path)
    parser.add_argument("--break-after", type=int, default=0)
    parser.add_argument("--short-tokens", action="store_true")
    parser.add_argument("--pack", action="store_true")
    server = Server(parser.parse_args())
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
