"""An image of deploy/Containerfile, built without a registry: the base is made of Debian's packages, here and now."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_BASE, _NAME = "localhost/base", "localhost/leg-cramp-cds"
_PACKAGES = ("?essential", "python3-venv", "ca-certificates")
_LEFT_OUT = "--dpkgopt=path-exclude=/usr/share/{0}/*"
# The root read-only, memory under /tmp, the data volume; then another root and user, with nothing of ours in sight.
_ENTER = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$2" "$1/data"
root="$1" user="$3"; shift 3
exec chroot --userspec="$user" "$root" env --ignore-environment --chdir=/data "$@"
"""


def what_is_missing() -> str | None:
    """Why no image can be built here; None when one can."""
    missing = [one for one in ("buildah", "mmdebstrap") if shutil.which(one) is None]
    if missing:
        return f"{' and '.join(missing)} not installed; `make deployment` installs them on Debian"
    if os.getuid() != 0:
        return "building and entering an image without a container engine needs root"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if tried.returncode:
        return f"this machine allows no mount of its own: {tried.stderr.decode().strip()}"
    return None


class Image:
    """deploy/Containerfile built into a store of its own, and one container of it, which never starts as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._build_base()
        self._build()
        self.config: dict[str, Any] = json.loads(self._buildah("inspect", "--type", "image", _NAME))["Docker"]["config"]
        self._container = self._buildah("from", _NAME)
        self._root = self._buildah("mount", self._container)

    def remove(self) -> None:
        self._buildah("umount", self._container)
        self._buildah("rm", self._container)

    def run(self, *command: str) -> str:
        """What a command in the container prints."""
        return self._buildah("run", self._container, "--", *command)

    @contextlib.contextmanager
    def entered(self, data: Path, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
        """The image's own entry point with these arguments, as its own user, on a read-only root; SIGTERM ends it."""
        command = (
            "unshare", "--mount", "--pid", "--fork", "sh", "-c", _ENTER, "enter", self._root, str(data),
            self.config["User"], *self.config["Env"], *(f"{name}={value}" for name, value in environ.items()),
            *self.config["Entrypoint"], *arguments,
        )  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            yield process
        finally:
            # the first process within: when it ends the kernel ends all others, and unshare ends with it
            if process.poll() is None:
                for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                    os.kill(int(child), signal.SIGTERM)
                process.communicate(timeout=60)

    def _build_base(self) -> None:
        base = self._folder / "base.tar"
        _run(
            "mmdebstrap", "--variant=extract", *(f"--include={one}" for one in _PACKAGES),
            *(_LEFT_OUT.format(one) for one in ("doc", "locale", "man")), _codename(), str(base),
        )  # fmt: skip
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, str(base), "/")
        self._buildah("commit", "--quiet", "--rm", container, _BASE)
        base.unlink()

    def _build(self) -> None:
        """Packages come as files: the build asks nobody."""
        wheels = self._folder / "wheels"
        locked = ("-r", "requirements/build.txt", "-r", "requirements/runtime.txt")
        _run(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", *locked, "-d", str(wheels))
        arguments = (f"BASE={_BASE}", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels")
        self._buildah(
            "build", "--quiet", "--format", "docker", "--volume", f"{wheels}:/wheels:ro",
            *(f"--build-arg={one}" for one in arguments), "--file", "deploy/Containerfile", "--tag", _NAME, ".",
        )  # fmt: skip

    def _buildah(self, *arguments: str) -> str:
        store = ("--root", str(self._folder / "store"), "--runroot", str(self._folder / "run"))
        return _run("buildah", *store, "--storage-driver", "vfs", *arguments)


def _codename() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["VERSION_CODENAME"].strip('"')


def _run(*command: str) -> str:
    environ = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.decode()[-2000:]}"
    return done.stdout.decode().strip()
