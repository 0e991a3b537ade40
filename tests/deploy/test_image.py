"""The image is built, entered as the user it names, on a read-only root, and answers."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.containers import Image, what_is_missing
from tests.web.fakes import hook_request

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if reason := what_is_missing():
        pytest.skip(reason)
    built = Image(tmp_path_factory.mktemp("image"))
    yield built
    built.remove()


def ask(address: str, data: Any = None) -> Any:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


def test_it_is_built_to_run_as_nobody_in_particular(image: Image) -> None:
    config = image.config
    user, _, group = config["User"].partition(":")
    assert int(user) >= 1000, "Kubernetes' runAsNonRoot needs a number"
    assert user == group
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python3"]
    told = image.run("python3", "-c", "import os; print(os.getuid(), os.access('/opt/legcramp', os.W_OK))")
    assert told == f"{user} False"
    assert "No module named pip" in image.run("sh", "-c", "/opt/legcramp/bin/python -m pip 2>&1 || true")


def test_it_answers_on_a_read_only_root(image: Image, tmp_path: Path) -> None:
    """The tables are made by the same image, as the migrations of each release are."""
    data = tmp_path / "data"
    data.mkdir()
    user = int(image.config["User"].partition(":")[0])
    os.chown(data, user, user)
    database = {"LEGCRAMP_DATABASE": "sqlite:////data/memory.sqlite3", "LEGCRAMP_DEVELOPMENT": "1"}
    with image.entered(data, "database", "upgrade", **database) as upgrading:
        told, wrong = upgrading.communicate(timeout=120)
    assert b"up to date" in told, wrong.decode()
    with image.entered(data, "serve", "--port", "0", "--workers", "2", **database) as serving:
        assert serving.stdout is not None
        assert serving.stderr is not None
        first = serving.stdout.readline()
        assert first, serving.stderr.read().decode()
        base = json.loads(first)["addresses"][0]
        assert ask(f"{base}/healthz") == {"status": "ok"}
        assert ask(f"{base}/readyz")["status"] == "ready"
        assert "cards" in ask(f"{base}/cds-services/leg-cramp-patient-view", hook_request())
    assert (data / "memory.sqlite3").stat().st_uid == user
