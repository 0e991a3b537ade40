"""The whole rules folder, loaded once at start: terminology, unit tables and clinical knowledge under one digest."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import msgspec

from cds_service.engine.knowledge import Knowledge
from cds_service.engine.loader import digest, load_knowledge
from cds_service.engine.site import NO_SITE, Site, read_site
from cds_service.engine.source import RuleError, RulesetError
from cds_service.facts.quantities import Analyte
from cds_service.facts.terminology import Terminology
from cds_service.facts.units import RulesFileError

__all__ = ["RuleError", "Ruleset", "RulesetError", "default_folder", "load_ruleset"]


class Ruleset(msgspec.Struct, frozen=True):
    """Everything that decides an answer besides the patient and the settings. Immutable."""

    folder: Path
    knowledge: Knowledge
    terminology: Terminology
    digest: str
    analyte_names: dict[str, str]
    """Analyte id to the name a clinician reads."""
    without_snomed: bool = False
    """Whether the SNOMED CT value sets were left out, for a site without a license."""
    site: Site = NO_SITE
    """What a site changed in the folder; it is in the digest as everything else."""

    @property
    def knowledge_version(self) -> str:
        return self.knowledge.version

    @property
    def hooks(self) -> frozenset[str]:
        """The hooks on which some active rule shows cards."""
        return frozenset(hook for rule in self.knowledge.active_rules for hook in rule.hooks)


def default_folder() -> Path:
    """`rules/` of a checkout, else the copy that an installed package carries."""
    here = Path(__file__).resolve().parent
    checkout = here.parent / "rules"
    return checkout if checkout.is_dir() else here / "_rules"


def load_ruleset(
    folder: Path | None = None, without_snomed: bool = False, tier: str = "", site: Path | None = None
) -> Ruleset:
    """Load and check a rules folder. Raises RulesetError with `file:line` for every mistake.

    `tier` names another version of the contributor tier than the default one. `site` is a folder that is laid over it.
    """
    folder = default_folder() if folder is None else folder
    try:
        terminology = Terminology.load(folder, without_snomed)
    except RulesFileError as error:
        raise RulesetError([_as_rule_error(error, folder)]) from None
    laid_over = read_site(folder, site) if site is not None else NO_SITE
    analytes = terminology.units.analytes
    knowledge = load_knowledge(
        folder,
        value_sets=frozenset(terminology.titles),
        analytes={
            name: {unit: family.to_si for unit, family in analyte.families.items()}
            for name, analyte in analytes.items()
        },
        upper_limits={name: limit for name, one in analytes.items() if (limit := _upper_limit(one)) is not None},
        instead=laid_over.documents,
        tier=tier,
    )
    return Ruleset(
        folder=folder,
        knowledge=knowledge,
        terminology=terminology,
        digest=digest(knowledge, _files_digest(folder, without_snomed)),
        analyte_names={name: analyte.name for name, analyte in analytes.items()},
        without_snomed=without_snomed,
        site=laid_over,
    )


def _upper_limit(analyte: Analyte) -> Decimal | None:
    """The upper end of the adult reference range in the first family, where a laboratory states none of its own."""
    family = next(iter(analyte.families), None)
    return None if family is None else analyte.reference.get(family, (None, None))[1]


def _as_rule_error(error: RulesFileError, folder: Path) -> RuleError:
    file, line, message = [*str(error).split(":", 2), "1", str(error)][:3]
    path = Path(file)
    shown = path.relative_to(folder.parent).as_posix() if path.is_relative_to(folder.parent) else path.name
    return RuleError(shown, int(line) if line.isdigit() else 1, message.strip())


def _files_digest(folder: Path, without_snomed: bool) -> str:
    """A fingerprint of the value sets and unit tables as they lie on disk."""
    hashed = hashlib.sha256(b"without-snomed" if without_snomed else b"")
    for part in ("value-sets", "units"):
        for path in sorted((folder / part).rglob("*")):
            if path.is_file():
                hashed.update(path.relative_to(folder).as_posix().encode())
                hashed.update(path.read_bytes())
    return hashed.hexdigest()
