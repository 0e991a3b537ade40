"""Invents a small table of people in the form of the NHANES extract. Nobody in it exists; the same seed, the same file.

``python -m tests.validation.invent`` writes ``invented.csv`` again. Cramps are made more likely by loop diuretics and
pregnancy, and by age; quinine is given to those who have them.
"""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

from cds_service.validation.columns import load_columns

FILE = Path(__file__).with_name("invented.csv")
PEOPLE = 600
_DRUGS = {
    "FUROSEMIDE": 0.12,
    "HYDROCHLOROTHIAZIDE; LISINOPRIL": 0.12,
    "SIMVASTATIN": 0.15,
    "FLUTICASONE; SALMETEROL": 0.07,
    "GABAPENTIN": 0.1,
    "METOPROLOL": 0.1,
    "DEXAMETHASONE; TOBRAMYCIN OPHTHALMIC": 0.03,
    "UNKNOWN": 0.01,
}


def rows(cycle: str = "2005-2006", people: int = PEOPLE, seed: int = 7) -> list[dict[str, str]]:
    """The table, a dict a row; cells that are not named are empty."""
    chance = random.Random(seed)
    return [_row(chance, str(1000 + index), cycle, index) for index in range(people)]


def text(table: list[dict[str, str]]) -> str:
    """The table as CSV with every described column."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(load_columns().columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def _row(chance: random.Random, name: str, cycle: str, index: int) -> dict[str, str]:
    age = chance.randint(18, 85)
    female = chance.random() < 0.5
    drugs = [drug for drug, share in _DRUGS.items() if chance.random() < share]
    pregnant = female and age < 45 and chance.random() < 0.3
    diabetes = chance.random() < 0.15
    risk = 0.1 + 0.002 * age + 0.3 * ("FUROSEMIDE" in drugs) + 0.25 * ("GABAPENTIN" in drugs) + 0.25 * pregnant
    grade = 0 if chance.random() > risk else chance.randint(1, 4)
    if grade >= 3 and chance.random() < 0.3:
        drugs.append("QUININE")
    examined = chance.random() < 0.95
    row = {
        "seqn": name,
        "cycle": cycle,
        "age": str(age),
        "sex": "female" if female else "male",
        "leg_cramp_freq": "" if chance.random() < 0.01 else str(grade),
        "pregnant": str(int(pregnant)),
        "rx_use": str(int(bool(drugs))),
        "n_rx": str(len(drugs)),
        "drugs": "|".join(drugs),
        "drug_days": "|".join(str(chance.randint(10, 2000)) for _ in drugs),
        "diabetes": "yes" if diabetes else "no",
        "smoking": chance.choice(["current", "former", "never", "never"]),
        "wt_interview": f"{chance.uniform(5000, 60000):.2f}",
        "wt_exam": f"{chance.uniform(5000, 60000):.2f}" if examined else "0",
        "examined": str(int(examined)),
        "psu": str(1 + index % 2),
        "stratum": str(44 + index // 2 % 15),
        "hypertension": str(int(chance.random() < 0.3)),
        **{
            name: str(int(chance.random() < 0.04)) for name in ("heart_failure", "chd", "stroke", "kidney_weak_failing")
        },
        "dialysis_12mo": "0",
    }
    if examined and chance.random() < 0.97:
        row |= {
            "k_mmol_l": f"{chance.gauss(4.0, 0.35):.1f}",
            "na_mmol_l": f"{chance.gauss(139, 3):.0f}",
            "ca_mg_dl": f"{chance.gauss(9.4, 0.4):.1f}",
            "albumin_g_dl": f"{chance.gauss(4.2, 0.3):.1f}",
            "creatinine_mg_dl": f"{max(chance.gauss(0.9, 0.3), 0.4):.2f}",
            "vitd_25oh_nmol_l": f"{max(chance.gauss(55, 20), 8):.1f}",
            "bmi": f"{max(chance.gauss(28, 5), 16):.1f}",
        }
    return row


if __name__ == "__main__":
    FILE.write_text(text(rows()), encoding="utf-8")
