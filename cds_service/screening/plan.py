"""What a run does, settled before it begins: a run that goes on after a kill must be the same run."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from cds_service.ruleset import Ruleset
from cds_service.screening.deletions import Deletions
from cds_service.screening.export import Export
from cds_service.screening.lines import is_compressed
from cds_service.screening.patient import HOOK, Frame
from cds_service.screening.split import Layout
from cds_service.settings import Settings

FORMAT = 1
"""Of the files a run writes; another number means another meaning."""

_BYTES_OF_PARTITION = 24 * 1024 * 1024
_MOST_PARTITIONS = 4096
_UNPACKED = 10
"""How much a compressed file grows, roughly: only the number of partitions rests on it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All on which the rows depend, and how the work is cut. Written to the folder of the run as plan.json."""

    format: int = FORMAT
    export: str
    """Fingerprint of the export: names, sizes and times of its files, and its manifests."""
    ruleset: str
    knowledge: str
    hook: str = HOOK
    now: datetime
    zone: str
    region: str
    risk_summary: str
    public_base_url: str
    since: datetime | None = None
    most_resources: int
    partitions: int
    block: int

    @property
    def layout(self) -> Layout:
        return Layout(self.partitions, self.block, self.since)

    @property
    def digest(self) -> str:
        """A fingerprint of everything that decides the rows."""
        same = msgspec.structs.replace(self, partitions=0, block=0)
        return hashlib.sha256(msgspec.json.encode(same)).hexdigest()


def make_plan(
    export: Export, ruleset: Ruleset, settings: Settings, now: datetime, since: datetime | None, options: Cut
) -> Plan:
    """The plan of a run over `export` at `now`."""
    size = sum(one.size * (_UNPACKED if is_compressed(one.path) else 1) for one in export.outputs)
    partitions = options.partitions or max(8, min(_MOST_PARTITIONS, size // _BYTES_OF_PARTITION))
    return Plan(
        export=export.fingerprint,
        ruleset=ruleset.digest,
        knowledge=ruleset.knowledge_version,
        now=now,
        zone=str(settings.zone),
        region=settings.region,
        risk_summary=settings.risk_summary,
        public_base_url=settings.public_base_url,
        since=since,
        most_resources=options.most_resources,
        partitions=partitions,
        block=options.block,
    )


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """How the work is cut. None of it changes a row, but for the limit of one patient."""

    workers: int = 0
    """0: one for each core."""
    partitions: int = 0
    """0: as many as the export's size asks for."""
    block: int = 16 * 1024 * 1024
    """Bytes of lines read at once by each worker."""
    budget: int = 256 * 1024 * 1024
    """Bytes of lines assessed at once by each worker."""
    most_resources: int = 200_000
    """A patient with more is named, not assessed."""


def frame_of(plan: Plan, export: Export, folder: Path, ruleset: Ruleset) -> Frame:
    """What the workers need to know, but for what the export lacks, which reading it tells."""
    return Frame(
        ruleset=ruleset,
        settings=settings_of(plan),
        now=plan.now,
        since=plan.since,
        most_resources=plan.most_resources,
        deletions=Deletions(folder, export.deleted),
    )


def settings_of(plan: Plan) -> Settings:
    """The settings that a plan was made with."""
    return Settings(
        public_base_url=plan.public_base_url,
        zone=ZoneInfo(plan.zone),
        region=plan.region,  # type: ignore[arg-type]
        risk_summary=plan.risk_summary,  # type: ignore[arg-type]
    )


def read_plan(path: Path) -> Plan | None:
    """A plan that was written before; None where there is none that this version can go on with."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        return None
