"""Build rules/value-sets/ from published terminology lists and the hand-written data beside this script.

    python tools/build_value_sets.py TERMINOLOGY_FOLDER

TERMINOLOGY_FOLDER holds medications.csv, ndc.csv, conditions.csv, observations.csv and synonyms.csv. Run by a
maintainer when the lists or the files in tools/value-set-sources/ change; the service itself reads the JSON only. Every
folder of generated sets is replaced, so the output depends on the input alone. No clinical code stands in this script.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from value_set_files import KINDS, Files, ValueSet, words_of
from value_set_sources import SOURCES, read_csv, read_yaml

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "rules" / "value-sets"


def kebab(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class Builder:
    """What goes into each value set, and by which names each ingredient is known."""

    def __init__(self, terminology: Path) -> None:
        self.release = read_yaml("release.yaml")
        self.sets: dict[str, ValueSet] = {}
        self.names: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.medications = read_csv(terminology / "medications.csv")
        self.ndc = read_csv(terminology / "ndc.csv")
        self.conditions = read_csv(terminology / "conditions.csv")
        self.observations = read_csv(terminology / "observations.csv")
        self.synonyms = read_csv(terminology / "synonyms.csv")
        self.rules = read_yaml("terminology-ingredients.yaml")
        self.class_rows: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.loinc_displays: dict[str, str] = {}

    # -- shared

    def system(self, row: Mapping[str, str]) -> str:
        if row.get("term_type", "").startswith("dmd-"):
            return "dmd"
        return next(key for key, uri in self.release["systems"].items() if uri == row["system"])

    def new(self, id: str, kind: str, title: str, use: str = "") -> ValueSet:
        if id in self.sets:
            raise ValueError(f"value set {id} is defined twice")
        self.sets[id] = ValueSet(id, kind, title, use)
        return self.sets[id]

    # -- medicines

    def ingredient_id(self, name: str) -> str:
        return self.rules["ids"].get(name) or kebab(name)

    def ingredient(self, name: str) -> ValueSet:
        id = self.ingredient_id(name)
        if id not in self.sets:
            title = self.rules["titles"].get(id) or name[0].upper() + name[1:]
            self.new(id, "ingredient", title)
        return self.sets[id]

    def build_ingredients(self) -> None:
        dropped = {(item["system"], item["code"]) for item in self.rules["drop"]}
        subsets = {
            (list_name, name): rule
            for list_name, rule in self.rules["subsets"].items()
            for name in (
                {row["ingredient"] for row in self.medications if row["class"] == list_name and row["ingredient"]}
                if rule["ingredients"] == "all"
                else rule["ingredients"]
            )
        }
        coded_products = {
            (row["class"], row["ingredient"]) for row in self.medications if self.system(row) in ("rxnorm", "dmd")
        }
        for row in self.medications:
            if (row["system"], row["code"]) in dropped:
                continue
            if not row["ingredient"]:
                owner = self.rules["class_rows_to_ingredient"].get(row["class"])
                if owner is None:
                    self.class_rows[row["class"]].append(row)
                elif row["term_type"] == "ATC-prefix":
                    self.ingredient(owner).add_prefix("atc", row["code"], row["display"])
                continue
            route = self.rules["routes"].get(row["route"], row["route"])
            self.ingredient(row["ingredient"]).add(self.system(row), row["code"], row["display"], route)
            rule = subsets.get((row["class"], row["ingredient"]))
            if rule and (row["class"], row["ingredient"]) in coded_products:
                self.subset(row["ingredient"], rule).add(self.system(row), row["code"], row["display"], route)
            self.names_of(row)
        for row in self.ndc:
            self.ingredient(row["ingredient"]).add("ndc", row["code"], "")
            rule = subsets.get((row["class"], row["ingredient"]))
            if rule:
                self.subset(row["ingredient"], rule).add("ndc", row["code"], "")
        for id, entry in read_yaml("ingredients.yaml").items():
            self.hand_written(id, entry)
        for row in read_csv(SOURCES / "atc.csv"):
            held = self.sets[row["ingredient"]]
            if not any(row["code"].startswith(prefix) for prefix in held.prefixes["atc"]):
                held.add("atc", row["code"], held.title)
            for list_name, rule in self.rules["subsets"].items():
                part = self.sets.get(f"{held.id}-{rule['qualifier']}")
                groups = [group["code"] for group in self.class_rows[list_name]]
                if part and any(row["code"].startswith(group) for group in groups):
                    part.add("atc", row["code"], held.title)
        self.synonym_names()
        for id, names in self.rules["more_names"].items():
            self.names[id]["names"].update(names)
        for id, names in self.rules["more_abbreviations"].items():
            self.names[id]["abbreviations"].update(names)
        for id, names in self.rules["more_brands"].items():
            self.names[id]["brands"].update(names)
        for id, groups in read_yaml("names.yaml").items():
            for group, names in groups.items():
                self.names[id][group].update(names)
        self.complete_combinations()
        for id, rule in self.rules["route_subsets"].items():
            whole = self.sets[rule["of"]]
            part = self.new(id, "ingredient", rule["title"])
            part.variant_of = whole.id
            for (system, route), codes in whole.codes.items():
                if route in rule["routes"]:
                    part.codes[system, route].update(codes)

    def complete_combinations(self) -> None:
        """A product stands in the set of every ingredient that its display names, not of the listed one alone.

        What counts are generic names, a known brand of the same ingredient in brackets, and any brand where the display
        names no substance. A bare mineral ("Potassium 8
        MMOL") is of unknown salt. Local products (inhalers) join only a set that has codes of their route.
        """
        rule = self.rules["combinations"]
        generic = self.name_table(("names",), rule["bare_minerals"].values())
        brands = self.name_table(("names", "brands"), rule["bare_minerals"].values())
        brands |= {words_of(name): set[str]() for name in rule["not"]}
        minerals = {
            id: re.compile(rf"(?:^|/|\+|\band) *{name} (?:\d|and\b)", re.I)
            for name, id in rule["bare_minerals"].items()
        }
        for held in [one for one in self.sets.values() if one.kind == "ingredient" and one.variant_of is None]:
            for (system, route), codes in list(held.codes.items()):
                for code, display in list(codes.items()):
                    if system not in ("rxnorm", "dmd", "snomed"):
                        continue
                    text = re.sub(r"\[[^\]]*\]", "", display)
                    named = names_in(text, generic) or names_in(text, brands)
                    plain = re.sub(r"\([^)]*\)", "", text)
                    for branded in re.findall(r"\[([^\]]*)\]", display):
                        of_brand = brands.get(words_of(branded), set())
                        named |= of_brand if held.id in of_brand else set()
                    named |= {id for id, pattern in minerals.items() if pattern.search(plain)}
                    for partner in sorted(named - {held.id}):
                        self.join(partner, system, code, display, route)

    def name_table(self, groups: Iterable[str], without: Iterable[str]) -> dict[tuple[str, ...], set[str]]:
        table: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for id, names in self.names.items():
            for group in groups:
                for name in names.get(group, ()):
                    if id not in without:
                        table[words_of(name)].add(id)
        return table

    def join(self, partner: str, system: str, code: str, display: str, route: str) -> None:
        """Adds a product's code to the set of one more of its ingredients, and to the combination part of that set."""
        whole = self.sets[partner]
        systemic = route in self.rules["combinations"]["systemic_routes"]
        if not systemic and not any(codes for (_, other), codes in whole.codes.items() if other == route):
            return
        whole.add(system, code, display, route)
        part = self.sets.get(f"{partner}-in-combination")
        if part is not None:
            part.add(system, code, display, route)

    def subset(self, ingredient: str, rule: Mapping[str, Any]) -> ValueSet:
        whole = self.ingredient(ingredient)
        id = f"{whole.id}-{rule['qualifier']}"
        if id not in self.sets:
            self.new(id, "ingredient", rule["title"].format(whole.title)).variant_of = whole.id
        return self.sets[id]

    def hand_written(self, id: str, entry: Mapping[str, Any]) -> None:
        held = self.sets.get(id) or self.new(id, "ingredient", entry["title"])
        for code in entry.get("rxnorm", ()):
            held.add("rxnorm", str(code), entry["title"], entry["route"])
        for code, display in entry.get("snomed", {}).items():
            held.add("snomed", str(code), display, "unspecified")
        self.names[id]["names"].update(entry["names"])
        self.names[id]["brands"].update(entry.get("brands", ()))
        self.names[id]["abbreviations"].update(entry.get("abbreviations", ()))

    def names_of(self, row: Mapping[str, str]) -> None:
        id = self.ingredient_id(row["ingredient"])
        fixed = self.rules["names"].get(id)
        if fixed is not None:
            self.names[id]["names"].update(fixed)
        elif row["ingredient"] not in self.rules["ids"] or kebab(row["ingredient"]) == id:
            self.names[id]["names"].add(row["ingredient"])
        if row["term_type"] == "BN" and not any(re.search(p, row["display"]) for p in self.rules["not_brands"]):
            self.names[id]["brands"].add(row["display"])

    def synonym_names(self) -> None:
        for row in self.synonyms:
            if row["synonym"] in self.rules["not_names"]:
                continue
            id = self.ingredient_id(row["ingredient"])
            short = "abbreviation" in row["kind"] and (len(row["synonym"]) <= 5 or "K " in row["synonym"])
            group = (
                "abbreviations"
                if short
                else "brands"
                if "brand" in row["kind"] and "brand-like" not in row["kind"]
                else "names"
            )
            self.names[id][group].add(row["synonym"])

    def build_classes(self) -> None:
        for id, entry in read_yaml("classes.yaml").items():
            held = self.new(id, "class", entry["title"], entry.get("use", ""))
            if entry["members"] == "all-in-combination":
                held.members = sorted(name for name in self.sets if name.endswith("-in-combination"))
            else:
                held.members = list(entry["members"])
            for row in self.class_rows.get(entry.get("list", ""), ()):
                held.add_prefix("atc", row["code"], row["display"])
            for code in entry.get("atc", ()):
                held.add_prefix("atc", code, entry["title"])
            for code in entry.get("atc_except", ()):
                held.without["atc"]["codes"].add(code)

    # -- conditions, observations, the rest

    def build_conditions(self) -> None:
        source = read_yaml("conditions.yaml")
        for row in self.conditions:
            if row["precision"] == "broader":
                continue
            id = kebab(row["concept"])
            entry = source["lists"][row["concept"]]
            held = self.sets.get(id) or self.new(id, "condition", entry["title"], entry.get("use", ""))
            if row["precision"] == "category":
                held.add_prefix(self.system(row), row["code"], row["display"])
            else:
                held.add(self.system(row), row["code"], row["display"])
            self.exclude(held, entry)
        for id, entry in source["sets"].items():
            held = self.new(id, "condition", entry["title"], entry.get("use", ""))
            for key in ("both", "cm", "who", "icd11"):
                for system in ("cm", "who") if key == "both" else (key,):
                    for code, display in entry.get(key, {}).get("is_a", {}).items():
                        held.add_prefix(system, str(code), display)
                    for code, display in entry.get(key, {}).get("codes", {}).items():
                        held.add(system, str(code), display)
            for system, ranges in entry.get("ranges", {}).items():
                for code in category_range(ranges):
                    held.add_prefix(system, code, entry["label"])
            for code, display in entry.get("sct", {}).items():
                held.add("snomed", str(code), display)
            held.members = list(entry.get("members", ()))
            self.exclude(held, entry)
        for row in read_csv(SOURCES / "conditions-snomed.csv"):
            self.sets[row["set"]].add("snomed", row["code"], row["term"])
        for id, entry in source["sets"].items():
            for name, terms in entry.get("sct_of", {}).items():
                for (system, _), codes in list(self.sets[name].codes.items()):
                    for code, display in codes.items() if system == "snomed" else ():
                        if re.search(terms.get("only", ""), display, re.I) and not re.search(
                            terms.get("not", "^$"), display, re.I
                        ):
                            self.sets[id].add("snomed", code, display)

    def exclude(self, held: ValueSet, entry: Mapping[str, Any]) -> None:
        for system, forms in entry.get("except", {}).items():
            if any(is_under(code, prefix) for code in forms["is_a"] for prefix in held.prefixes[system]):
                held.without[system]["is_a"].update(forms["is_a"])
            for (other, _), codes in held.codes.items():
                if other == system:
                    for code in [c for c in codes if any(is_under(c, p) for p in forms["is_a"])]:
                        del codes[code]

    def build_observations(self) -> None:
        source = read_yaml("observations.yaml")
        self.loinc_displays = {row["code"]: row["display"] for row in self.observations}
        self.loinc_displays |= {str(code): text for code, text in source["displays"].items()}
        for row in self.observations:
            if row["analyte"] in source["values"]:
                answer = row["unit"].removeprefix("answer: ")
                id = f"{source['values'][row['analyte']]}-{answer}"
                words = f"{row['analyte'].removesuffix('_value').replace('_', ' ').capitalize()}: {answer}"
                held = self.sets.get(id) or self.new(id, "observation", words, "coded answers")
            else:
                id = kebab(row["analyte"])
                title = source["met_titles"][row["analyte"]]
                held = self.sets.get(id) or self.new(
                    id, "observation", f"{title} (any code that may be met)", "recognition only, never a threshold"
                )
            held.add(self.system(row), row["code"], row["display"])
        for id, entry in source["accepted"].items():
            held = self.new(id, "observation", entry["title"], entry["use"])
            self.add_loinc(held, entry["codes"])
        for id, entry in source["groups"].items():
            self.new(id, "observation", entry["title"], entry["use"]).members = entry["members"]
        for id, entry in source["empty"].items():
            self.new(id, "observation", entry["title"], entry["use"])

    def add_loinc(self, held: ValueSet, codes: Iterable[str]) -> None:
        for code in codes:
            held.add("loinc", code, self.loinc_displays[code])

    def build_other(self) -> None:
        for kind, entries in read_yaml("other.yaml").items():
            for id, entry in entries.items():
                held = self.new(id, kind, entry["title"], entry["use"])
                self.add_loinc(held, entry.get("loinc", ()))
                for code, display in entry.get("sct", {}).items():
                    held.add("snomed", str(code), display)
                for code in entry.get("own", ()):
                    held.add("own", code, entry["title"])
                held.members = list(entry.get("members", ()))


def names_in(text: str, table: Mapping[tuple[str, ...], set[str]]) -> set[str]:
    """What the text names, the longest name at each word."""
    words, found, at = words_of(text), set[str](), 0
    longest = 8
    while at < len(words):
        for length in range(longest, 0, -1):
            ids = table.get(words[at : at + length])
            if ids is not None and at + length <= len(words):
                found |= ids
                at += length
                break
        else:
            at += 1
    return found


def is_under(code: str, prefix: str) -> bool:
    return code.replace(".", "").startswith(prefix.replace(".", ""))


def category_range(ranges: Iterable[str]) -> list[str]:
    """Three-character categories of ranges such as C00-C26 or C60-C7B (letters follow the digits)."""
    order = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    found = []
    for text in ranges:
        first, _, last = text.partition("-")
        last = last or first
        for tens in order[order.index(first[1]) : order.index(last[1]) + 1]:
            for ones in order:
                code = first[0] + tens + ones
                within = (first[1:], last[1:])
                if not within[0] <= code[1:] <= within[1]:
                    continue
                if (
                    ones.isdigit()
                    or code in (first, last)
                    or (tens == last[1] and ones <= last[2] and last[2].isalpha())
                ):
                    found.append(code)
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 2
    builder = Builder(Path(arguments[0]))
    builder.build_ingredients()
    builder.build_classes()
    builder.build_conditions()
    builder.build_observations()
    builder.build_other()
    Files(OUTPUT, builder.release).write(builder.sets, builder.names)
    for kind in KINDS:
        print(f"{kind}: {len(list((OUTPUT / kind).iterdir()))} sets")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
