"""The file of clients: what is read from it, and how each mistake is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cds_service.clients.file import KEYS, SWITCHES, BadClients, read_clients
from cds_service.clients.model import Client
from cds_service.clients.profiles import CDS_HOOKS_1_0, EPIC
from cds_service.fhir.queries import TEMPLATES
from cds_service.settings import STANDARD, ClientProfile, OrderCode

ROOT = Path(__file__).resolve().parents[2]
SOUND = """
[[client]]
id = "ehr"
issuer = "https://ehr.example.org"
jku = ["https://ehr.example.org/jwks.json"]
"""


def read(tmp_path: Path, text: str, **options: Any) -> tuple[Client, ...]:
    file = tmp_path / "clients.toml"
    file.write_text(text, encoding="utf-8")
    return read_clients(file, TEMPLATES, **options)


def mistakes(tmp_path: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(BadClients) as raised:
        read(tmp_path, text, **options)
    return raised.value.mistakes


def test_the_example_can_be_used() -> None:
    epic, north, south, community = read_clients(ROOT / "deploy" / "clients.example.toml", TEMPLATES)
    assert epic.profile.one_action_per_suggestion
    assert epic.profile.prefetch_keys == {"labs": "observations", "problems": "conditions"}
    assert len(epic.profile.orderables) == 2
    assert epic.silent == {"cramp-risk-summary"}
    assert north.issuer == south.issuer
    assert south.silent is True
    assert community.replay == "accept"
    assert community.profile.same_id


def test_the_part_of_the_example_that_is_commented_out_can_be_used_too(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "clients.example.toml").read_text()
    shown = text[text.index("# [[client]]") :]
    (old,) = read(tmp_path, re.sub(r"^# ?", "", shown, flags=re.MULTILINE))
    assert (old.profile.legacy10, old.profile.detail, old.profile.detail_type) == (True, "plain", True)
    assert old.key_file == str(tmp_path / "keys" / "old-ehr.jwks.json")


def test_what_is_left_out(tmp_path: Path) -> None:
    (client,) = read(tmp_path, SOUND)
    assert client == Client(
        id="ehr", issuer="https://ehr.example.org", jku=frozenset({"https://ehr.example.org/jwks.json"})
    )
    assert client.profile == STANDARD


@pytest.mark.parametrize(
    ("profile", "expected"), [("standard", STANDARD), ("epic", EPIC), ("cds-hooks-1.0", CDS_HOOKS_1_0)]
)
def test_a_client_starts_from_its_profile_and_overrides_switches(
    tmp_path: Path, profile: str, expected: ClientProfile
) -> None:
    (client,) = read(tmp_path, f'{SOUND}profile = "{profile}"\n')
    assert (client.profile, client.profile_name) == (expected, profile)
    (client,) = read(tmp_path, f'{SOUND}profile = "{profile}"\n[client.switches]\ndetail = "plain"\nsame_id = true\n')
    assert client.profile == msgspec.structs.replace(expected, detail="plain", same_id=True)


def test_orderables(tmp_path: Path) -> None:
    (client,) = read(
        tmp_path,
        SOUND + '[client.switches.orderables]\n"http://loinc.org|1-8" = {system = "urn:x:y", code = "7"}\n',
    )
    assert client.profile.orderables == {"http://loinc.org|1-8": OrderCode("urn:x:y", "7")}


def test_slashes_at_the_end_do_not_matter(tmp_path: Path) -> None:
    (client,) = read(
        tmp_path, SOUND + 'fhir_servers = ["https://a.example/fhir/"]\ncors_origins = ["https://b.example/"]\n'
    )
    assert (client.fhir_servers, client.cors_origins) == ({"https://a.example/fhir"}, {"https://b.example"})


def _with(line: str) -> str:
    return SOUND + line + "\n"


def _without(key: str) -> str:
    return "".join(line for line in SOUND.splitlines(keepends=True) if not line.startswith(f"{key} "))


# text, the line that is named, words of the mistake and of its mend
MISTAKES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "no TOML": ("[[client]\n", 1, ("is not TOML",)),
    "no TOML further down": (_with("group ="), 6, ("is not TOML",)),
    "empty": ("", 1, ("no [[client]]",)),
    "a single table": ('[client]\nid = "a"\n', 1, ("[[client]]",)),
    "another table": (SOUND + "[server]\nport = 1\n", 6, ("server", "[[client]]")),
    "a misspelt key": (_with('isuer = "x"'), 6, ('client "ehr"', '"isuer"', 'did you mean "issuer"?')),
    "a key of nothing": (_with("zzz = 1"), 6, ('"zzz"', "known are", "fhir_servers")),
    "a misspelt switch": (
        _with("[client.switches]\nlegacy = true"),
        7,
        ('client "ehr", switches', '"legacy"', 'did you mean "legacy10"?'),
    ),
    "id missing": (_without("id"), 2, ("client number 1", "id is missing", "lower-case")),
    "issuer missing": (_without("issuer"), 2, ("issuer is missing",)),
    "an id with spaces": (SOUND.replace('"ehr"', '"My EHR"'), 3, ("id", "must be a short name")),
    "the id of development": (SOUND.replace('"ehr"', '"development"'), 3, ("take another",)),
    "an issuer that is no URI": (SOUND.replace('"https://ehr.example.org"', '"me"'), 4, ("issuer", "a URI")),
    "no keys": (_without("jku"), 2, ("one of jku, jwks_url, key_file, not none",)),
    "two kinds of keys": (_with('key_file = "a.json"'), 6, ("one of", "jku and key_file")),
    "jku as text": (SOUND.replace("[", "").replace("]", "").replace("client", "[[client]]", 1), 5, ("jku", "a list")),
    "an empty jku": (SOUND.replace('["https://ehr.example.org/jwks.json"]', "[]"), 5, ("jku", "a list of https URLs")),
    "jku over http": (SOUND.replace('["https', '["http'), 5, ("jku", "must be https")),
    "jku with a login": (SOUND.replace("//ehr.example.org/jwks", "//u:p@ehr.example.org/jwks"), 5, ("jku",)),
    "an unknown profile": (_with('profile = "cerner"'), 6, ("profile", "standard, epic, cds-hooks-1.0")),
    "a replay policy of its own": (_with('replay = "maybe"'), 6, ("replay", "reject or accept")),
    "endless tokens": (_with("max_token_minutes = 100000"), 6, ("1 to 1440",)),
    "minutes as true": (_with("max_token_minutes = true"), 6, ("whole number",)),
    "a server over http": (_with('fhir_servers = ["http://a.example/fhir"]'), 6, ("fhir_servers", "must be https")),
    "a server that is a file": (_with('fhir_servers = ["file:///etc"]'), 6, ("fhir_servers", "https base URLs")),
    "a server with a query": (_with('fhir_servers = ["https://a.example/?x=1"]'), 6, ("fhir_servers",)),
    "an origin with a path": (
        _with('cors_origins = ["https://a.example/x"]'),
        6,
        ("cors_origins", "such as"),
    ),
    "any origin": (_with('cors_origins = ["*"]'), 6, ("cors_origins",)),
    "silent as text": (_with('silent = "yes"'), 6, ("silent", "a list of rule ids")),
    "silent for no rule": (_with('silent = ["no-such-rule"]'), 6, ("silent", 'no rule "no-such-rule"')),
    "switches as text": (_with('switches = "epic"'), 6, ("switches", "a table")),
    "a switch of the wrong type": (
        _with('[client.switches]\nsame_id = "yes"'),
        7,
        ("switches, same_id", "true or false"),
    ),
    "an alias for nothing": (
        _with('[client.switches.prefetch_keys]\nlabs = "labs"'),
        6,
        ("prefetch_keys", "ours are", "observations"),
    ),
    "an orderable without a system": (
        _with('[client.switches.orderables]\n"24321-2" = {system = "urn:x:y", code = "7"}'),
        6,
        ("orderables", "system|code"),
    ),
    "an orderable with a word too many": (
        _with('[client.switches.orderables]\n"http://loinc.org|1" = {system = "urn:x:y", code = "7", name = "x"}'),
        6,
        ("orderables",),
    ),
    "a second client with the same id": (SOUND + SOUND.replace("ehr.example.org", "b.example.org"), 3, ("this id",)),
    "a shared issuer without tenants": (SOUND + SOUND.replace('"ehr"', '"b"'), 4, ("issuer", "tenants")),
    "a tenant of two clients": (
        _with('tenants = ["t"]') + _with('tenants = ["t"]').replace('"ehr"', '"b"'),
        12,
        ("tenants", '"t"'),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_file_line_and_mend(tmp_path: Path, name: str) -> None:
    text, line, words = MISTAKES[name]
    told = mistakes(tmp_path, text, rule_ids={"lab-hypokalemia"})
    assert any(one.startswith(f"clients.toml:{line}: ") and all(word in one for word in words) for one in told), told


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    told = mistakes(tmp_path, _with('isuer = "x"\nreplay = "maybe"\n[client.switches]\nsame_id = 1'))
    assert [one.split(":")[1] for one in told] == ["6", "7", "9"]


def test_http_is_for_development(tmp_path: Path) -> None:
    text = SOUND.replace('["https', '["http') + 'fhir_servers = ["http://127.0.0.1:8090/fhir"]\n'
    assert len(mistakes(tmp_path, text)) == 2
    assert len(read(tmp_path, text, http_allowed=True)) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadClients, match=r"none\.toml:1: cannot be read"):
        read_clients(tmp_path / "none.toml", TEMPLATES)
    (tmp_path / "latin.toml").write_bytes(b"# \xe4\n")
    with pytest.raises(BadClients, match="not UTF-8"):
        read_clients(tmp_path / "latin.toml", TEMPLATES)


def test_the_format_follows_the_structs() -> None:
    fields = {field.name for field in msgspec.structs.fields(Client)}
    assert set(KEYS) - {"switches"} == fields - {"profile_name"}
    assert set(SWITCHES) == {field.name for field in msgspec.structs.fields(ClientProfile)}


def test_every_key_is_documented() -> None:
    guide = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    for name, key in (KEYS | SWITCHES).items():
        assert f"| `{name}` |" in guide, name
        if name in KEYS and key.required:
            assert f"| `{name}` | needed |" in guide
