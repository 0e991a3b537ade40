"""Published equations. Pure functions on Decimals; the engine decides which results go in."""

from __future__ import annotations

import math
from decimal import Decimal

_CREATININE_UMOL_PER_MG_DL = 88.42
_MG_DL = "mg/dL"


def ckd_epi_2021(creatinine: Decimal, family: str, age: int, sex: str) -> Decimal:
    """Estimated glomerular filtration rate in mL/min/{1.73_m2} by CKD-EPI 2021, rounded down to one decimal.

    `creatinine` in `family` (``mg/dL`` or ``umol/L``; 1 mg/dL = 88.42 umol/L), `age` in completed years, `sex`
    ``female`` or ``male``.
    ``142 x min(Scr/k,1)^a x max(Scr/k,1)^-1.200 x 0.9938^age x 1.012 [female]``; k = 0.7 (female) or 0.9 (male),
    a = -0.241 (female) or -0.302 (male); Scr in mg/dL. Source: Inker LA et al., New creatinine- and cystatin C-based
    equations to estimate GFR without race, N Engl J Med 2021;385:1737-1749 (key ``ink21``). For adults; not in
    pregnancy. Rounding down never lifts a value over a cut-off, and cut-offs are whole numbers.
    Raises ValueError on a creatinine that is not above zero, or another unit.
    """
    if creatinine <= 0:
        raise ValueError("creatinine must be above zero")
    if family not in (_MG_DL, "umol/L"):
        raise ValueError("creatinine must be in mg/dL or umol/L")
    serum = float(creatinine) if family == _MG_DL else float(creatinine) / _CREATININE_UMOL_PER_MG_DL
    k, a = (0.7, -0.241) if sex == "female" else (0.9, -0.302)
    ratio = serum / k
    rate = 142.0 * min(ratio, 1.0) ** a * max(ratio, 1.0) ** -1.200 * 0.9938**age
    if sex == "female":
        rate *= 1.012
    return Decimal(math.floor(rate * 10)) / 10


def albumin_corrected_calcium(calcium: Decimal, family: str, albumin: Decimal, albumin_family: str) -> Decimal | None:
    """Total calcium corrected for albumin, in `family` (``mmol/L`` or ``mg/dL``); albumin in ``g/L`` or ``g/dL``.

    ``Ca + 0.02 x (40 - albumin g/L)`` in mmol/L, ``Ca + 0.8 x (4.0 - albumin g/dL)`` in mg/dL. Source: Payne RB et
    al., Br Med J 1973;4:643-646, in the form of clinical-knowledge.md R05. None when albumin lies outside the 15 to
    55 g/L in which it holds, or a unit is another one. A calcium that the laboratory has corrected must never come
    here (HZ-26).
    """
    if albumin_family not in ("g/L", "g/dL"):
        return None
    grams_per_litre = albumin if albumin_family == "g/L" else albumin * 10
    if not Decimal(15) <= grams_per_litre <= Decimal(55):
        return None
    correction: dict[str, Decimal] = {
        "mmol/L": Decimal("0.02") * (Decimal(40) - grams_per_litre),
        "mg/dL": Decimal("0.8") * (Decimal(4) - grams_per_litre / 10),
    }
    return calcium + correction[family] if family in correction else None
