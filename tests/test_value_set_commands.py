"""`legcramp value-sets`: what a code stands for, and what of a hospital's lists a request would be recognized by."""

from __future__ import annotations

import csv
import functools
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.ruleset import load_ruleset
from tests.facts.building import facts_of, order, patient

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "terminology"


LOADED = functools.cache(load_ruleset)
"""Each folder once a process."""


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds_service.cli.console.load_ruleset", LOADED)


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, ["value-sets", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def matched(tmp_path: Path, text: str | bytes, *options: str) -> list[dict[str, str]]:
    """The rows that `match` writes for a file of that text."""
    file = tmp_path / "list.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    result = run("match", file, *options)
    assert result.exit_code == 0, result.stderr
    delimiter = ";" if ";" in result.stdout.split("\n", 1)[0] else ","
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter=delimiter))


def ways(rows: list[dict[str, str]]) -> list[str]:
    return [row["matched_by"] for row in rows]


# -- explain


def test_a_code_is_explained_by_its_sets_rules_and_queries() -> None:
    result = run("explain", "310798")
    assert result.exit_code == 0
    for words in ("RxNorm", "thiazide-diuretic", "R12 diuretic-thiazide", "medications: MedicationRequest?"):
        assert words in result.output


def test_a_laboratory_code_is_no_ingredient() -> None:
    result = run("explain", "2823-3")
    assert "Ingredient" not in result.output
    assert "potassium-chloride: Potassium chloride" in result.output


def test_a_code_in_no_set_ends_with_1() -> None:
    result = run("explain", "00000-0")
    assert (result.exit_code, result.output) == (1, "00000-0: no value set holds it.\n")


@pytest.mark.parametrize(
    "system", ["RxNorm", "rxnorm", RXNORM, "urn:oid:2.16.840.1.113883.6.88", "2.16.840.1.113883.6.88"]
)
def test_a_code_system_has_many_names(system: str) -> None:
    found = json.loads(run("explain", "4603", "--system", system, "--json").output)["found"]
    assert [one["system"] for one in found] == [RXNORM]
    assert "loop-diuretic" in {one["id"] for one in found[0]["sets"]}


# -- match


def test_each_way_of_recognizing_is_told(tmp_path: Path) -> None:
    rows = matched(
        tmp_path,
        "system,code,display\n"
        "RxNorm,4603,furosemide\n"
        "local,F40,Furosemide 40 mg tablets\n"
        "local,X1,Paracetamol 500 mg tablets\n"
        "LOINC,2823-3,Potassium\n"
        "SNOMED,431857002,Chronic kidney disease stage 4\n"
        "ATC,C03CA01,furosemide\n"
        "NDC,00172-2083-60,hydrochlorothiazide\n",
    )
    assert ways(rows) == ["code", "text", "none", "code", "code", "code", "code"]
    assert [("loop-diuretic" in row["sets"].split()) for row in rows[:3]] == [True, True, False]
    assert "potassium" in rows[3]["sets"].split()
    assert "ckd-stage-4" in rows[4]["sets"].split()
    assert rows[2]["sets"] == ""


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffsystem,code,display\r\nRxNorm,4603,\r\n",
        "system;code;display\nRxNorm;4603;\n",
        "\ufeffSystem; Code ;DISPLAY\r\n RxNorm ; 4603 ;\r\n",
        '"display","code","system"\n"furosemide, ""Lasix""","4603","RxNorm"\n',
        "code,display,system\n4603,,urn:oid:2.16.840.1.113883.6.88",
        "system\tcode\tdisplay\nRxNorm\t4603\t\n".encode("utf-16"),
    ],
)
def test_a_spreadsheets_file_is_read_as_it_comes(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    result = run("match", file)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.rstrip().endswith(
        "loop-diuretic mg-wasting sick-day-drug" + result.stdout.rstrip()[-5] + "code"
    )


def test_other_columns_rows_and_their_order_are_kept(tmp_path: Path) -> None:
    rows = matched(tmp_path, 'shelf,system,code,display,note\n7,local,,,"a, b"\n,RxNorm,4603,,\n')
    assert [list(row)[-2:] for row in rows] == [["sets", "matched_by"]] * 2
    assert [(row["shelf"], row["note"], row["matched_by"]) for row in rows] == [("7", "a, b", "none"), ("", "", "code")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", ":1: is empty"),
        (b"system,code\nRxNorm,4603\n", ":1: the heading lacks display"),
        (b"system,code,display,code\n", ":1: the heading names code twice"),
        (b"system,code,display,sets\n", ":1: has a column sets already"),
        (b"system,code,display\nRxNorm,4603\n", ":2: 2 fields where the heading has 3"),
        (b"system,code,display\nRxNorm,4603,Caf\xe9\n", ":2: not UTF-8"),
        (b'system,code,display\nRxNorm,"4603,x\n', ":2: not CSV"),
    ],
)
def test_a_file_that_is_no_such_table_is_told_with_its_line(tmp_path: Path, text: bytes, told: str) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(text)
    result = run("match", file)
    assert result.exit_code == 1
    assert f"{file}{told}" in result.stderr
    assert result.stdout == ""


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    result = run("match", tmp_path / "none.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be read" in result.stderr


def test_local_laboratory_names_are_not_taken_for_medicines(tmp_path: Path) -> None:
    text = "system,code,display\nlocal,MG,Magnesium\nlocal,MGOX,Magnesium oxide\n"
    assert ways(matched(tmp_path, text)) == ["text", "text"]
    assert ways(matched(tmp_path, text, "--as", "observation")) == ["none", "none"]
    assert ways(matched(tmp_path, text + "LOINC,2823-3,Potassium\n")) == ["none", "none", "code"]


def test_a_test_whose_results_are_not_used_is_told(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("system,code,display\nLOINC,51618-7,Potassium --pre dialysis\nLOINC,2823-3,Potassium\n")
    result = run("match", file)
    assert "2 rows: 2 by code" in result.stderr
    assert "1 are tests whose results are not used" in result.stderr


def test_the_result_goes_into_a_file(tmp_path: Path) -> None:
    file, output = tmp_path / "list.csv", tmp_path / "matched.csv"
    file.write_text("system,code,display\nRxNorm,4603,\n")
    result = run("match", file, "--output", output)
    assert (result.exit_code, result.stdout) == (0, "")
    assert output.read_text().endswith(",code\n")
    assert sorted(tmp_path.iterdir()) == [file, output]


def test_a_large_formulary_is_matched(tmp_path: Path) -> None:
    lines = [f"local,A{number},Furosemide {number} mg tablets" for number in range(5_000)]
    rows = matched(tmp_path, "system,code,display\n" + "\n".join(lines) + "\n")
    assert len(rows) == 5_000
    assert set(ways(rows)) == {"text"}


def test_a_request_recognizes_a_row_in_the_same_way(tmp_path: Path) -> None:
    """Each row as a MedicationRequest of a record: recognized by the same sets and in the same way."""
    items = [
        (RXNORM, "4603", "furosemide"),
        (RXNORM, "310798", ""),
        (RXNORM, "161", "Acetaminophen"),
        ("urn:local", "1", "Slow-K 600 mg"),
        ("urn:local", "2", "Hydrochlorothiazid 25 mg"),
        ("urn:local", "3", "diclofenac gel 1 %"),
        ("urn:local", "4", "Compression stockings"),
        ("http://www.whocc.no/atc", "C03CA", ""),
        ("http://hl7.org/fhir/sid/ndc", "00172208360", ""),
    ]
    text = io.StringIO()
    csv.writer(text).writerows([("system", "code", "display"), *items])
    for (system, code, display), row in zip(items, matched(tmp_path, text.getvalue()), strict=True):
        coding = {"system": system, "code": code} | ({"display": display} if display else {})
        concept = {"coding": [coding]} | ({"text": display} if display else {})
        read = facts_of(patient(), order("m", medicationCodeableConcept=concept)).medications
        found = {set_id for one in read for part in one.ingredients for set_id in part.sets}
        by = {part.matched_by for one in read for part in one.ingredients} or {"none"}
        assert (set(row["sets"].split()), {row["matched_by"]}) == (found, by), display


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published lists are not beside the checkout")
def test_the_published_lists_are_recognized_under_their_names(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    for name, column, least in (("medications.csv", "class", 0.999), ("observations.csv", "analyte", 0.9)):
        with (SHARED / name).open(encoding="utf-8", newline="") as source:
            wanted = [row[column].replace("_", "-") for row in csv.DictReader(source)]
        file.write_bytes((SHARED / name).read_bytes())
        rows = csv.DictReader(io.StringIO(run("match", file).stdout))
        held = [want in row["sets"].split() for want, row in zip(wanted, rows, strict=True)]
        assert sum(held) / len(held) > least, name
