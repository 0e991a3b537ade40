"""The options of `legcramp screen --from-server`, and the download that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import requests

from cds_service.screening.backend_services import Identity, NotAuthorized
from cds_service.screening.bulk_client import TYPES, Exporter, ExportFailed, Order
from cds_service.screening.folder import ScreeningFailed, Watcher

_F = TypeVar("_F", bound=Callable[..., Any])
EXPORT = "export"
"""The folder of a downloaded export, inside the folder of the run."""


class Server(msgspec.Struct, frozen=True):
    """What the options say."""

    url: str
    group: str
    client_id: str
    key: Path
    key_id: str
    algorithm: str
    types: str
    wait_hours: float

    def download(self, out: Path, since: datetime | None, watcher: Watcher) -> Path:
        """The folder of the export, downloaded or gone on with. Raises `ScreeningFailed`."""
        identity = Identity(client_id=self.client_id, key_file=self.key, key_id=self.key_id, algorithm=self.algorithm)
        order = Order(server=self.url.rstrip("/"), group=self.group, types=self.types, since=since)
        folder = out / EXPORT
        try:
            Exporter(order, identity, folder, watcher, self.wait_hours * 3600).run()
        except (ExportFailed, NotAuthorized) as error:
            raise ScreeningFailed(f"{order.server}: {error}") from None
        except requests.RequestException as error:
            raise ScreeningFailed(
                f"{order.server}: no connection ({type(error).__name__}); the same command goes on where this one stood"
            ) from None
        return folder


def server_options(command: _F) -> _F:
    """Adds the options."""
    options = [
        click.option("--from-server", metavar="URL", help="Instead of EXPORT_DIR: the base URL of a FHIR server."),
        click.option("--group", default="", help="Export this Group only, by its id."),
        click.option("--client-id", default="", help="How the server knows this program."),
        click.option("--key", type=click.Path(path_type=Path), help="Private key (PEM) that signs for it."),
        click.option("--key-id", default="", help="The key's id (kid) at the server."),
        click.option("--algorithm", type=click.Choice(["ES384", "RS384"]), default="ES384", show_default=True),
        click.option("--types", default=TYPES, help="Resource types to ask for; those that rules read unless given."),
        click.option("--wait-hours", type=click.FloatRange(0), default=12, show_default=True),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def server_from(options: dict[str, Any]) -> Server | None:
    """The server that the options name; None without one. Raises `click.UsageError`."""
    url = options.pop("from_server")
    told = {
        name: options.pop(name) for name in ("group", "client_id", "key", "key_id", "algorithm", "types", "wait_hours")
    }
    if url is None:
        return None
    if not told["client_id"] or told["key"] is None:
        raise click.UsageError("--from-server needs --client-id and --key")
    return Server(url, **told)
