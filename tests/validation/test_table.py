"""The reader of a table of people: strict, and silent about what stands in it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from cds_service.validation.columns import BUNDLED, BadColumns, load_columns
from cds_service.validation.table import BadTable, read_table
from tests.validation.invent import FILE, rows, text

COLUMNS = load_columns()


def read(tmp_path: Path, written: str) -> str:
    """The mistakes of a table."""
    file = tmp_path / "people.csv"
    file.write_text(written, encoding="utf-8")
    with pytest.raises(BadTable) as caught:
        read_table(file, COLUMNS)
    return str(caught.value)


def with_cell(column: str, value: str, at: int = 0) -> str:
    table = rows(people=3)
    table[at][column] = value
    return text(table)


def test_the_invented_table_is_the_one_that_is_invented() -> None:
    assert FILE.read_text(encoding="utf-8") == text(rows())


def test_plain_and_compressed_tables_are_read_alike(tmp_path: Path) -> None:
    packed = tmp_path / "people.csv.gz"
    packed.write_bytes(gzip.compress(FILE.read_bytes()))
    plain = read_table(FILE, COLUMNS)
    assert read_table(packed, COLUMNS) == plain
    assert len(plain) == 600


def test_an_empty_cell_is_not_known_and_a_zero_is_a_zero(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    table = rows(people=2)
    table[0] |= {"k_mmol_l": "", "stroke": "0", "drugs": "", "drug_days": "", "rx_use": "0", "n_rx": "0"}
    file.write_text(text(table), encoding="utf-8")
    one = read_table(file, COLUMNS)[0]
    assert one.number("k_mmol_l") is None
    assert one.text("k_mmol_l") == ""
    assert one.number("stroke") == 0
    assert one.text("stroke") == "0"
    assert one.members("drugs") == ()


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("sex", "F", "row 2, column sex: must be one of female, male, or empty"),
        ("sex", "", "row 2, column sex: must not be empty"),
        ("k_mmol_l", "4,1", "row 2, column k_mmol_l: must be a number with a decimal point, or empty"),
        ("k_mmol_l", "nan", "row 2, column k_mmol_l: must be a number"),
        ("k_mmol_l", "41", "row 2, column k_mmol_l: must lie between 1 and 15; look at its unit"),
        ("age", "66.5", "row 2, column age: must be a whole number"),
        ("stroke", "yes", "row 2, column stroke: must be 0, 1 or empty"),
        ("leg_cramp_freq", "7", "row 2, column leg_cramp_freq: must be one of 0, 1, 2, 3, 4, or empty"),
        ("n_rx", "9", "row 2, column n_rx: must be how many names drugs holds"),
        ("drug_days", "1|2|3|4|5|6|7|8|9", "row 2, column drug_days: must have as many members as drugs"),
        ("wt_exam", "", "row 2, column wt_exam: must not be empty"),
    ],
)
def test_a_mistake_is_told_by_row_and_column(tmp_path: Path, column: str, value: str, told: str) -> None:
    assert told in read(tmp_path, with_cell(column, value))


def test_what_stands_in_a_cell_is_never_told(tmp_path: Path) -> None:
    told = read(tmp_path, with_cell("age", "Jane Doe 41987"))
    assert "Jane" not in told
    assert "41987" not in told


def test_cells_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    table = rows(people=2)
    table[0] |= {"rx_use": "0", "n_rx": "0", "drugs": "FUROSEMIDE", "drug_days": "30"}
    table[1]["seqn"] = table[0]["seqn"]
    told = read(tmp_path, text(table))
    assert "row 2, column rx_use: must be 1 where drugs names something" in told
    assert "row 3, column seqn: stands in an earlier row too" in told


def test_columns_that_are_missing_unknown_or_doubled_are_told(tmp_path: Path) -> None:
    header, _, rest = text(rows(people=1)).partition("\n")
    told = read(tmp_path, header.replace("k_mmol_l", "kalium") + "\n" + rest)
    assert "row 1, column kalium: is not described" in told
    assert "row 1, column k_mmol_l: is missing" in told
    assert "row 1, column psu: stands twice" in read(tmp_path, header.replace("stratum", "psu") + "\n" + rest)


def test_a_row_with_too_few_cells_and_a_file_without_rows_are_told(tmp_path: Path) -> None:
    header = text(rows(people=1)).partition("\n")[0]
    assert "row 2: has 2 cells where the header has" in read(tmp_path, f"{header}\n1,2\n")
    assert read(tmp_path, header + "\n") == "holds no respondent"
    file = tmp_path / "people.csv.gz"
    file.write_bytes(b"no gzip")
    with pytest.raises(BadTable, match="is not CSV in UTF-8"):
        read_table(file, COLUMNS)


def test_twenty_mistakes_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    table = rows(people=30)
    for row in table:
        row["sex"] = "?"
    told = read(tmp_path, text(table)).splitlines()
    assert len(told) == 21
    assert told[-1] == "and 10 more mistakes"


def test_a_description_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    written = BUNDLED.read_text(encoding="utf-8")
    for old, new, expected in (
        ("id: seqn", "id: number", "not described under `columns`: number"),
        ("primary: two-a-month", "primary: weekly", "the primary outcome is none of the cuts"),
        ("fit_on:", "fitted_on:", "fitted_on"),
    ):
        file = tmp_path / "columns.yaml"
        file.write_text(written.replace(old, new), encoding="utf-8")
        with pytest.raises(BadColumns) as caught:
            load_columns(file)
        assert expected in str(caught.value)
