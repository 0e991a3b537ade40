"""A PostgreSQL of its own for the tests: Debian's programs, a fresh cluster, a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), default=None)
_USER = "nobody"
_PATIENCE_SECONDS = 60


class Server:
    """A running cluster; `url` makes a fresh database on it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAMS is not None
        settings = ("fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=16MB", "max_connections=60")
        command = [
            str(PROGRAMS.with_name("postgres")), "-D", str(self.folder / "data"), "-p", str(self.port),
            "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1", *(f"-c{one}" for one in settings),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user())
        self._wait()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(2)  # SIGINT: fast shutdown
            self.process.wait(_PATIENCE_SECONDS)
            self.process = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        for process in self._all():
            os.kill(process, 19)

    def resume(self) -> None:
        for process in self._all():
            os.kill(process, 18)

    def _all(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def run(self, statement: str) -> None:
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def url(self, name: str) -> str:
        self.run(f'CREATE DATABASE "{name}"')
        return self._address(name)

    def _address(self, name: str) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/{name}"

    def _wait(self) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self._address("postgres"), connect_timeout=2).close()
                return
            assert self.process is not None
            assert self.process.poll() is None, "PostgreSQL ended at once"
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)


def as_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running() -> Iterator[Server]:
    assert PROGRAMS is not None
    # not under pytest's own folder: another user must be able to enter every folder above
    folder = Path(tempfile.mkdtemp(prefix="legcramp-postgresql-"))
    server = Server(folder, _free_port())
    try:
        if os.getuid() == 0:
            os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
        subprocess.run(
            [str(PROGRAMS), "-D", str(folder / "data"), "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True, stdout=subprocess.DEVNULL, **as_user(),
        )  # fmt: skip
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
