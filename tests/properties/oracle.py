"""Why a treatment must not be offered: a second reading of the gates of 2.0 and of 4.1, from the text alone.

Only necessary conditions stand here. `forbidden` may miss a reason, and the property tests then ask less; it never
names one that the text does not. A reason is a *fact* (something on record closes) or a *gap* (something that must be
known is not). Nothing of the service's code or rules is used.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.properties.patients import Patient, Result

ALL = ("potassium", "magnesium", "calcium", "vitamin-d")
Reason = tuple[str, str]
"""fact, gap or may, and its name."""


def forbidden(patient: Patient) -> dict[str, list[Reason]]:
    """Reasons against each treatment."""
    found: dict[str, list[Reason]] = {treatment: [] for treatment in ALL}
    for treatments, kind, why in _reasons(patient):
        for treatment in treatments:
            found[treatment].append((kind, why))
    return found


def _reasons(patient: Patient) -> Iterator[tuple[tuple[str, ...], str, str]]:
    kidney_needed = ("potassium", "magnesium", "calcium")
    if patient.deceased or (patient.age is not None and patient.age < 18):
        yield ALL, "fact", "deceased or a child"
    if patient.age is None:
        yield ALL, "gap", "age unknown"
    if patient.not_supplied & {"medications", "conditions", "observations"}:
        yield ALL, "gap", "data not supplied"
    for kind, treatments in (
        ("pregnant", ALL),
        ("weak", ALL),
        ("tetany", ALL),
        ("renal", ALL),
        ("bowel", kidney_needed),
        ("refeeding", kidney_needed),
        ("caution", ("potassium",)),
        ("hypercalcemia", ("calcium", "vitamin-d")),
        ("stones", ("calcium", "vitamin-d")),
        ("hypoparathyroidism", ("calcium", "vitamin-d")),
        ("conduction", ("magnesium",)),
    ):
        if patient.has(kind):
            yield treatments, "fact", kind
    if any(problem.kind == "comfort" and problem.state == "confirmed" for problem in patient.problems):
        yield ("magnesium", "calcium", "vitamin-d"), "fact", "comfort care"
        yield ("potassium",), "may", "comfort care: only critical cards"
    if patient.allergies:
        yield ("potassium",), "fact", "allergy"
    yield from _drugs(patient)
    yield from _potassium(patient)
    yield from _kidney(patient)
    yield from _others(patient)


def _drugs(patient: Patient) -> Iterator[tuple[tuple[str, ...], str, str]]:
    for name, treatment in (
        ("sparing", "potassium"),
        ("raiser", "potassium"),
        ("potassium", "potassium"),
        ("cai", "potassium"),
        ("magnesium", "magnesium"),
        ("calcium", "calcium"),
        ("digoxin", "calcium"),
        ("vitamin-d", "vitamin-d"),
    ):
        if patient.takes(name):
            yield (treatment,), "fact", f"takes {name}"
    if patient.takes("raasi") and patient.takes("nsaid"):
        yield ("potassium",), "fact", "RAAS inhibitor with NSAID"
    if patient.takes("digoxin") and patient.takes("calcium"):
        yield ("vitamin-d",), "fact", "digoxin with calcium"


def _potassium(patient: Patient) -> Iterator[tuple[tuple[str, ...], str, str]]:
    usable = sorted((one for one in patient.of("potassium") if one.kind == "usable"), key=_age)
    if not usable:
        yield ("potassium",), "gap", "no potassium"
        return
    newest = usable[0]
    exact = [one for one in usable if not one.comparator]
    latest = [one for one in usable if _age(one) <= _age(newest) + 0.001]
    if _age(newest) > 14:
        yield ("potassium",), "gap", "stale potassium"
    if any(one.comparator for one in latest):
        yield ("potassium",), "fact", "open-ended potassium"
    elif min(one.value for one in latest) >= 3.5:
        yield ("potassium",), "fact", "potassium 3.5 or more"
    elif max(one.value for one in latest) < 2.5:
        yield ALL, "fact", "potassium below 2.5"
    elif max(one.value for one in latest) >= 3.5:
        yield ("potassium",), "may", "two potassium results of one instant, one of them 3.5 or more"
    if newest.value >= 3.5:
        yield ("magnesium",), "may", "no low potassium: without cramps a low magnesium is not spoken of"
    if any(one.hemolyzed for one in latest):
        yield ("potassium",), "fact", "hemolyzed potassium"
    for one in patient.of("potassium"):
        if one.kind in ("unusable", "preliminary") and _age(one) <= _age(newest):
            yield ("potassium",), "fact", f"a newer {one.kind} potassium"
        # a final result of the same instant stands in its place
        if one.kind == "preliminary" and one.value < 2.5 and _age(one) < _age(newest) and _age(one) <= 90:
            yield ALL, "fact", "preliminary potassium below 2.5"
        if one.kind == "preliminary" and one.value >= 6.0 and _age(one) <= 90:
            yield ("potassium",), "may", "preliminary potassium of 6.0 or more in 90 days"
        if one.kind == "usable" and one.value >= 6.0 and one.comparator != "<" and _age(one) <= 90:
            yield ("potassium",), "fact", "potassium 6.0 or more in 90 days"
    if len(exact) > 1 and exact[:2] == usable[:2]:
        apart, differ = _age(usable[1]) - _age(newest), abs(usable[1].value - newest.value)
        if apart <= 0.99 and _age(usable[1]) <= 14 and differ >= 1.01:
            yield ("potassium",), "fact", "conflicting potassium"


def _kidney(patient: Patient) -> Iterator[tuple[tuple[str, ...], str, str]]:
    needing = ("potassium", "magnesium", "calcium")
    reported = sorted((one for one in patient.of("egfr") if one.kind == "usable"), key=_age)
    creatinine = sorted((one for one in patient.of("creatinine") if one.kind == "usable"), key=_age)
    dated = [_age(one) for one in reported + creatinine]
    if not dated or min(dated) > 90:
        yield needing, "gap", "kidney function not known"
    if any(one.kind not in ("usable", "ignored") for one in patient.of("egfr") + patient.of("creatinine")):
        yield needing, "may", "a kidney result that is not final"
    if patient.dialyzed_days is not None and patient.dialyzed_days <= 90:
        yield ALL, "fact", "dialyzed"
    losses = [one for one in patient.problems if one.kind == "loss" and one.days <= 14]
    for loss in losses:
        if not any(days <= loss.days + 1 for days in dated):
            # an illness that is over may still have changed the kidney
            yield needing, "fact" if loss.counts else "may", "no kidney function since the fluid loss"
    for results in (reported, creatinine):
        if any(_age(one) == _age(other) and one.value != other.value for one in results for other in results):
            yield ALL, "may", "two kidney results of one instant"
    rate = _filtration(patient, reported, creatinine)
    if rate is not None and rate < 29.5:
        yield ALL, "fact", "eGFR below 30"
    if rate is not None and rate < 44.5 and any(patient.takes(name) for name in ("raasi", "nsaid", "weak")):
        yield ("potassium",), "fact", "eGFR below 45 with a retaining drug"
    if creatinine and _age(creatinine[0]) <= 7:
        newest = creatinine[0]
        earlier = [one for one in creatinine[1:] if 0 < _age(one) - _age(newest) <= 364]
        ratios = [newest.value / one.value for one in earlier]
        rises = [newest.value - one.value for one in earlier if _age(one) - _age(newest) <= 1.9]
        # in another unit a rise of just the limit may lie on either side of it
        if any(ratio >= 1.48 for ratio in ratios) or any(rise >= 0.28 for rise in rises):
            sure = any(ratio >= 1.52 for ratio in ratios) or any(rise >= 0.32 for rise in rises)
            yield ALL, "fact" if sure else "may", "acute kidney injury"


def _filtration(patient: Patient, reported: list[Result], creatinine: list[Result]) -> float | None:
    """eGFR as 2.0 says, the highest that it may be; None when it cannot be told, or not surely which one counts."""
    if creatinine and (not reported or _age(reported[0]) - _age(creatinine[0]) > 1.1):
        if patient.age is None or _age(creatinine[0]) > 700:
            return None
        values = {one.value for one in creatinine if abs(_age(one) - _age(creatinine[0])) < 0.01}
        return max(ckd_epi(min(values), patient.age - 1, sex) for sex in _sexes(patient))
    if reported and (not creatinine or _age(reported[0]) - _age(creatinine[0]) < 0.9):
        return max(one.value for one in reported if abs(_age(one) - _age(reported[0])) < 0.01)
    return None


def _sexes(patient: Patient) -> tuple[str, ...]:
    """Of an unknown sex the lower eGFR counts, which is the female one at the same creatinine."""
    return (patient.sex,) if patient.sex in ("female", "male") else ("female",)


def ckd_epi(creatinine: float, age: float, sex: str) -> float:
    """CKD-EPI 2021 in mL/min/1.73 m2 from mg/dL."""
    kappa, alpha, factor = (0.7, -0.241, 1.012) if sex == "female" else (0.9, -0.302, 1.0)
    ratio = creatinine / kappa
    return float(142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2 * 0.9938**age * factor)


def _others(patient: Patient) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What the other three need to be known, and what closes them."""
    magnesium = _newest(patient, "magnesium", 30)
    if magnesium is None:
        yield ("magnesium", "calcium"), "gap", "magnesium not known"
    elif magnesium.value < 0.5:
        yield ("magnesium", "calcium"), "fact", "magnesium below 0.50"
    elif magnesium.value >= 0.7:
        yield ("magnesium",), "fact", "magnesium not low"
    calcium = _newest(patient, "calcium", 30)
    if calcium is None:
        yield ("calcium",), "gap", "calcium not known"
    elif calcium.value < 1.9 or calcium.value >= 2.1:
        yield ("calcium",), "fact", "calcium not between 1.90 and 2.09"
    known = _newest(patient, "calcium", 90)
    if known is None:
        yield ("vitamin-d",), "gap", "calcium not known"
    elif known.value > 2.6:
        yield ("vitamin-d",), "fact", "calcium above 2.60"
    phosphate = _newest(patient, "phosphate", 30)
    if phosphate is None:
        yield ("calcium",), "gap", "phosphate not known"
    elif phosphate.value > 1.78:
        yield ("calcium", "vitamin-d"), "fact", "phosphate above 1.78"
    vitamin = _newest(patient, "vitamin-d", 365)
    if vitamin is None:
        yield ("vitamin-d",), "gap", "vitamin D not known"
    elif vitamin.value >= 20:
        yield ("vitamin-d",), "fact", "vitamin D not low"
    elif vitamin.value >= 12:
        yield ("vitamin-d",), "may", "vitamin D of 12 or more is spoken of only with cramps"
    if any(one.kind != "usable" for one in patient.results if one.kind != "ignored" and one.analyte != "potassium"):
        yield ALL, "may", "a result that is not final"
    bicarbonate = _newest(patient, "bicarbonate", 14)
    if bicarbonate is not None and bicarbonate.value < 18:
        yield ("potassium",), "fact", "bicarbonate below 18"


def _newest(patient: Patient, analyte: str, days: float) -> Result | None:
    """The newest usable result, if it is that fresh. Preliminary ones open nothing, so they are none."""
    usable = sorted((one for one in patient.of(analyte) if one.kind == "usable"), key=_age)
    return usable[0] if usable and _age(usable[0]) <= days else None


def _age(result: Result) -> float:
    """Days ago; what has no date may be newer than everything."""
    return -99.0 if result.days is None else result.days


def largest_dose(patient: Patient) -> tuple[float, float]:
    """The most mEq of potassium in one dose, and in one day, that GATE-K could ever allow this patient."""
    reported = sorted((one for one in patient.of("egfr") if one.kind == "usable"), key=_age)
    creatinine = sorted((one for one in patient.of("creatinine") if one.kind == "usable"), key=_age)
    rate = _filtration(patient, reported, creatinine)
    retaining = any(patient.takes(name) for name in ("raasi", "nsaid", "weak"))
    old = patient.age is not None and patient.age >= 75.01
    usable = sorted((one for one in patient.of("potassium") if one.kind == "usable"), key=_age)
    if rate is not None and (rate < 44.5 or (rate < 59 and retaining)):
        return 10, 10
    if retaining or old or (rate is not None and rate < 59) or not usable or usable[0].value >= 3.0:
        return 20, 20
    return 20, 40
