"""Callers of one server: connections that stay open, each with one request under way at a time.

A program of its own, in one process and light, so that on two cores the server has one to itself:
``python callers.py PORT PATH CALLERS SECONDS FILE``; FILE holds one body a line. Writes JSON:
seconds, requests sent in all, latencies.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from pathlib import Path

_WARM_UP = 0.15
"""Seconds at the beginning that do not count."""


class Caller:
    """One connection. Raises `SystemExit` on any answer but 200."""

    def __init__(self, port: int, requests: list[bytes], at: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests, self.at, self.first = requests, at, at
        self.sent_at = 0.0
        self.received = b""
        self.expected = 0

    def send(self) -> None:
        request = self.requests[self.at % len(self.requests)]
        self.at += 1
        self.received, self.expected = b"", 0
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Takes what is there; True when the answer is complete."""
        chunk = self.socket.recv(262144)
        if not chunk:
            raise SystemExit("The server closed a connection.")
        self.received += chunk
        if not self.expected:
            head, blank, _ = self.received.partition(b"\r\n\r\n")
            if not blank:
                return False
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"The server answered {head[:60]!r}.")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self.expected = len(head) + 4 + int(length.split(b":")[1])
        return len(self.received) >= self.expected


def call(port: int, path: str, callers: int, seconds: float, bodies: list[bytes]) -> dict[str, object]:
    """Keeps `callers` requests under way for so long; latencies in milliseconds, in the order they came back."""
    requests = [
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (path.encode(), port, len(body), body)
        for body in bodies
    ]
    selector = selectors.DefaultSelector()
    every = [Caller(port, requests, at * len(requests) // callers) for at in range(callers)]
    latencies: list[float] = []
    for caller in every:
        selector.register(caller.socket, selectors.EVENT_READ, caller)
        caller.send()
    counting_from = time.perf_counter() + _WARM_UP
    end = counting_from + seconds
    now = 0.0
    while now < end:
        for key, _ in selector.select(timeout=5):
            if key.data.receive():
                now = time.perf_counter()
                if now >= counting_from:
                    latencies.append((now - key.data.sent_at) * 1e3)
                if now < end:
                    key.data.send()
    sent = sum(caller.at for caller in every) - sum(caller.first for caller in every)
    return {"seconds": now - counting_from, "requests": sent, "latencies_ms": latencies}


if __name__ == "__main__":
    port, path, callers, seconds, file = sys.argv[1:]
    bodies = Path(file).read_bytes().splitlines()
    sys.stdout.write(json.dumps(call(int(port), path, int(callers), float(seconds), bodies)))
