"""A Bulk Data export from a server: begun, waited for, downloaded, and gone on with after a stop.

Source: FHIR Bulk Data Access 2.0.0. The folder remembers where it stands: `.export.json` names the export that was
begun; a file is written as `.part` and renamed when it is whole; a part is gone on with by a Range request.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from cds_service.screening.backend_services import Identity, Tokens, is_private
from cds_service.screening.folder import Watcher
from cds_service.screening.spill import write_whole

STATE, MANIFEST = ".export.json", "manifest.json"
_TIMEOUTS = (10, 120)
_CHUNK = 1024 * 1024
_MOST_WAIT_SECONDS = 120.0
_FEW_TRIES = 5
TYPES = (
    "Patient,Observation,Condition,Medication,MedicationRequest,MedicationStatement,MedicationDispense,Procedure,"
    "AllergyIntolerance,ServiceRequest,DiagnosticReport,Specimen"
)
"""What rules read."""


class ExportFailed(Exception):
    """The server gave no export. The text says why, and what to do, without any of its content."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the server: a system export, or that of a group."""

    server: str
    """Base URL, no slash at its end."""
    group: str = ""
    types: str = TYPES
    since: datetime | None = None

    @property
    def url(self) -> str:
        path = f"{self.server}/Group/{self.group}/$export" if self.group else f"{self.server}/$export"
        query = {"_type": self.types, "_outputFormat": "application/fhir+ndjson"}
        if self.since is not None:
            query["_since"] = self.since.isoformat()
        return f"{path}?{urlencode(query)}"


class _State(msgspec.Struct):
    order: str
    status_url: str = ""


class _File(msgspec.Struct):
    url: str
    type: str = ""


class _Manifest(msgspec.Struct):
    transactionTime: str
    output: list[_File]
    request: str = ""
    requiresAccessToken: bool = True
    error: list[_File] = []
    deleted: list[_File] = []


class Exporter:
    """One export into one folder."""

    def __init__(
        self,
        order: Order,
        identity: Identity,
        folder: Path,
        watcher: Watcher,
        longest_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not is_private(order.server):
            raise ExportFailed("the server must be https")
        self.order, self.folder, self.watcher, self.longest, self.sleep = order, folder, watcher, longest_seconds, sleep
        self.session = requests.Session()
        # connections only: what the server answers, and how long it wants us to wait, is looked at here
        retry = Retry(_FEW_TRIES, connect=_FEW_TRIES, read=0, backoff_factor=0.5, respect_retry_after_header=False)
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=retry))
        self.tokens = Tokens(self.session, order.server, identity)

    def run(self) -> None:
        """Everything, or the rest of it. Raises `ExportFailed`, `NotAuthorized` and requests' errors."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (self.folder / MANIFEST).exists():
            return
        state = self._state()
        if not state.status_url:
            state.status_url = self._begin()
            write_whole(self.folder / STATE, msgspec.json.encode(state))
        manifest = self._wait(state.status_url)
        files = list(_named(manifest))
        self.watcher.phase("Downloading", len(files), "files")
        for name, _, file in files:
            path = self.folder / name
            if not path.exists() and not packed(path).exists():
                self._download(file.url, path, manifest.requiresAccessToken)
            self.watcher.advance(1)
        # last of all: where the manifest is, the export is whole
        write_whole(self.folder / MANIFEST, msgspec.json.encode(_local(manifest, files)))
        self._request("DELETE", state.status_url)

    def _state(self) -> _State:
        path = self.folder / STATE
        try:
            state = msgspec.json.decode(path.read_bytes(), type=_State)
        except (OSError, msgspec.DecodeError):
            return _State(self.order.url)
        if state.order != self.order.url:
            raise ExportFailed(f"{self.folder} holds an export of another order; take another folder, or --restart")
        return state

    def _begin(self) -> str:
        answer = self._request("GET", self.order.url, {"Accept": "application/fhir+json", "Prefer": "respond-async"})
        status_url = answer.headers.get("Content-Location", "")
        if answer.status_code != 202 or not status_url:
            raise ExportFailed(f"the server did not begin an export (status {answer.status_code})")
        return status_url

    def _wait(self, status_url: str) -> _Manifest:
        """Asks until the export is made, as often as the server wants it."""
        deadline, failures = time.monotonic() + self.longest, 0
        self.watcher.phase("Waiting for the server", 100, "percent")
        told = 0
        while True:
            answer = self._request("GET", status_url, {"Accept": "application/json"})
            if answer.status_code == 200:
                try:
                    return msgspec.json.decode(answer.content, type=_Manifest)
                except msgspec.DecodeError:
                    raise ExportFailed("the server's manifest cannot be read") from None
            if answer.status_code >= 500 and answer.status_code != 501:
                failures += 1
            elif answer.status_code not in (202, 429):
                failures = _FEW_TRIES
            if failures >= _FEW_TRIES:
                (self.folder / STATE).unlink(missing_ok=True)
                raise ExportFailed(f"the server gave up the export (status {answer.status_code})")
            percent = _percent(answer.headers.get("X-Progress", ""))
            self.watcher.advance(max(percent - told, 0))
            told = max(told, percent)
            seconds = _retry_after(answer.headers.get("Retry-After", ""))
            if time.monotonic() + seconds > deadline:
                raise ExportFailed("the export was not ready in time; the same command goes on waiting")
            self.sleep(seconds)

    def _download(self, url: str, path: Path, with_token: bool) -> None:
        part = path.with_name(path.name + ".part")
        for _ in range(_FEW_TRIES):
            try:
                if self._go_on(url, part, with_token):
                    part.replace(packed(path) if _is_gzip(part) else path)
                    return
            except (requests.RequestException, HTTPError):
                self.sleep(0.2)
        raise ExportFailed(f"{path.name}: the connection broke again and again; the same command goes on there")

    def _go_on(self, url: str, part: Path, with_token: bool) -> bool:
        """Downloads what is not there yet, as it is sent; whether the file is whole."""
        have = part.stat().st_size if part.exists() else 0
        # ranges count the bytes that are sent; a server that packs them all the same is taken at its word
        headers = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with self._request("GET", url, headers, with_token=with_token, stream=True) as answer:
            span = answer.headers.get("Content-Range", "")
            if answer.status_code == 416 and have:
                # nothing behind what is there: it is whole, if it is as long as the server says
                if span.rpartition("/")[2] == str(have):
                    return True
                part.unlink()
                return False
            if answer.status_code not in (200, 206):
                raise ExportFailed(f"a file could not be had (status {answer.status_code}); --restart begins anew")
            if answer.status_code == 200:
                have = 0
            elif not span.startswith(f"bytes {have}-"):
                raise ExportFailed("the server sent another part of a file than it was asked for")
            length = answer.headers.get("Content-Length")
            with part.open("ab" if have else "wb") as file:
                while chunk := answer.raw.read1(_CHUNK, decode_content=False):
                    file.write(chunk)
                end = file.tell()
        return length is None or end == have + int(length)

    def _request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        with_token: bool = True,
        stream: bool = False,
    ) -> requests.Response:
        """One request, with the token where it belongs; a token that ran out is renewed once."""
        if with_token and urlsplit(url)[:2] != urlsplit(self.order.server)[:2]:
            raise ExportFailed("the server sends us to another one with our token; that is not done")
        for anew in (False, True):
            sent: dict[str, Any] = dict(headers or {})
            if with_token:
                sent |= self.tokens.header(anew)
            answer = self.session.request(
                method, url, headers=sent, timeout=_TIMEOUTS, stream=stream, allow_redirects=False
            )
            if answer.status_code != 401 or not with_token or anew:
                break
            answer.close()
        return answer


def packed(path: Path) -> Path:
    """The name of a file that came packed."""
    return path.with_name(path.name + ".gz")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


Named: TypeAlias = tuple[str, Literal["output", "error", "deleted"], _File]


def _named(manifest: _Manifest) -> Iterator[Named]:
    """Names of our own, for those of URLs may be anything."""
    for number, file in enumerate(manifest.output):
        kind = file.type if file.type.isalpha() and file.type.isascii() else "output"
        yield f"{kind}.{number:05}.ndjson", "output", file
    for number, file in enumerate(manifest.error):
        yield f"error.{number:05}.ndjson", "error", file
    for number, file in enumerate(manifest.deleted):
        yield f"deleted.{number:05}.ndjson", "deleted", file


def _local(
    manifest: _Manifest, files: list[tuple[str, Literal["output", "error", "deleted"], _File]]
) -> dict[str, Any]:
    """The manifest with the names that the files have here."""
    told: dict[str, Any] = {"transactionTime": manifest.transactionTime, "request": manifest.request}
    for role in ("output", "error", "deleted"):
        told[role] = [{"type": file.type, "url": name} for name, of, file in files if of == role]
    return told


def _percent(text: str) -> int:
    digits = text.strip().removesuffix("%").strip()
    return min(int(digits), 100) if digits.isascii() and digits.isdecimal() else 0


def _retry_after(text: str) -> float:
    """Seconds, or an HTTP date; bounded, and two seconds where the server says nothing."""
    if text.isascii() and text.isdecimal():
        return min(float(text), _MOST_WAIT_SECONDS)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 2.0
    return min(max(at.timestamp() - time.time(), 0.0), _MOST_WAIT_SECONDS)
