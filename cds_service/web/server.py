"""The production server: gunicorn with threads, set up here so that `legcramp serve` needs no other file.

Workers are forked after the rules are loaded and frozen: they share that memory, and the garbage collector never
walks it. Threads are for clients that send slowly; the work itself is one core a worker.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from cds_service.ruleset import RulesetError
from cds_service.telemetry import metrics
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import BadConfiguration, WebConfig, config_from
from cds_service.web.operations import RELOAD_FAILED
from cds_service.web.worker import ServerLog, Worker

KEEP_ALIVE_SECONDS = 75
"""Longer than the 60 s after which common proxies drop an idle connection: the proxy then closes first, not we."""


READ_TIMEOUT_SECONDS = 10
"""The longest wait for the next bytes of a request."""


_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
"""A folder in memory: heartbeats and counts that wait for a disk would hold up workers."""


OPEN_TO_ALL = (
    "DEVELOPMENT PROFILE: no token is asked for, whoever reaches this address is answered. Never for real patients."
)


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, app: Flask, options: dict[str, Any], make: Callable[[], Flask] | None = None) -> None:
        self._app = app
        self._options = options
        self._make = make
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app

    def reload(self) -> None:
        """On SIGHUP: rules and settings are read anew. Where they are broken the old ones go on, and that is told."""
        super().reload()
        if self._make is None:
            return
        old = self._app.extensions["wiring"].metrics
        try:
            self._app = self.callable = self._make()
        except (BadConfiguration, RulesetError) as error:
            self._app.extensions[RELOAD_FAILED] = True
            make_log().error(f"Not reloaded, what was loaded before goes on.\n{error}")
            if old is not None:
                old.reloaded("failed")
            return
        gc.collect()
        gc.freeze()
        new = self._app.extensions["wiring"].metrics
        if old is not None and new is not None:
            old.hand_over(new)
            new.reloaded("done")


def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    workers: int | None = None,
    threads: int | None = None,
    config: WebConfig | None = None,
) -> None:
    """Serves until stopped. Exits with a message, before anything listens, when settings or rules are broken."""
    given = config
    try:
        config = given if given is not None else config_from()
        if config.metrics:
            _count_in_files()
        app = create_app(config)
        make = partial(_make_anew, given)
    except (BadConfiguration, RulesetError) as error:
        raise SystemExit(f"Not started.\n{error}") from None
    run(app, host, port, workers or config.workers, threads or config.threads, make)


def _make_anew(given: WebConfig | None) -> Flask:
    return create_app(given if given is not None else config_from())


def _count_in_files() -> None:
    """Gives the workers a folder of their own for their counts, which goes when the service ends."""
    folder = metrics.prepare(_MEMORY)
    maker = os.getpid()

    def remove() -> None:
        # a forked worker that ends runs this too; the folder is its maker's
        if os.getpid() == maker:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)


def run(
    app: Flask,
    host: str,
    port: int,
    workers: int = 1,
    threads: int = WebConfig().threads,
    make: Callable[[], Flask] | None = None,
) -> None:
    """Serves an application that is already made. Port 0 takes a free one; the first line of output names it.

    `make` is called on SIGHUP for the one that follows it.
    """
    gc.collect()
    gc.freeze()
    _Server(app, options(host, port, workers, threads), make).run()


def options(host: str, port: int, workers: int, threads: int) -> dict[str, Any]:
    """gunicorn's settings; named here where they differ from its own."""
    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers or os.cpu_count() or 1,
        "worker_class": Worker,
        "logger_class": ServerLog,
        "threads": threads,
        "preload_app": True,
        "keepalive": KEEP_ALIVE_SECONDS,
        "timeout": 30,
        "graceful_timeout": 20,
        "worker_tmp_dir": _MEMORY,
        "loglevel": "warning",
        "accesslog": None,
        "control_socket_disable": True,
        # nothing here is taken from a proxy's headers, so none may steer the server
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "when_ready": _when_ready,
        "worker_exit": _worker_exit,
        "child_exit": _child_exit,
    }


def _when_ready(server: Any) -> None:
    for listener in server.LISTENERS:
        # accepted connections inherit it: a sender that stalls gives its thread back
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_TIMEOUT_SECONDS, 0))
    _say_ready(server)
    wiring = server.app.load().extensions.get("wiring")
    if wiring is not None and wiring.verifier is None:
        make_log().warning(OPEN_TO_ALL)


def _worker_exit(_server: Any, worker: Any) -> None:
    wiring = worker.app.wsgi().extensions.get("wiring")
    if wiring is not None and wiring.store is not None:
        wiring.store.memory.write_at_last()


def _child_exit(_server: Any, worker: Any) -> None:
    metrics.forget_process(worker.pid)


def _say_ready(server: Any) -> None:
    addresses = [str(listener) for listener in server.LISTENERS]
    sys.stdout.buffer.write(msgspec.json.encode({"event": "listening", "addresses": addresses}) + b"\n")
    sys.stdout.buffer.flush()
