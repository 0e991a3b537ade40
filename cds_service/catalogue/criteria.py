"""Criteria in words. The only place that does it: pages, terminal and prints all say the same.

Every criterion and every modifier has its own words here; a test holds them against the schema, so that a new one
cannot stand in a rule without words for the reader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cds_service.catalogue.model import Run, Said, Words
from cds_service.catalogue.phrasing import amount, in_sentence, listed
from cds_service.engine.compiler import QUALIFIERS
from cds_service.ruleset import Ruleset

Node = Mapping[str, Any]
Part = str | Run

COMPARISONS = {"below": "below", "at_most": "at most", "at_least": "at least", "above": "above"}
_KINDS = {
    "medications": "medicines",
    "observations": "results",
    "service-requests": "earlier orders",
}


class Sayer:
    """Says criteria of one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.titles = ruleset.terminology.titles
        self.analytes = ruleset.terminology.units.analytes
        sources = ruleset.knowledge.sources
        self.facts = {
            data["fact"]: str(data.get("title", data["fact"].replace("-", " ")))
            for name, data in sources.items()
            if name.startswith("facts/") and "fact" in data
        }
        self.gates = {gate.id: gate.title for gate in ruleset.knowledge.gates.values()}
        self.rules = {rule.id: rule for rule in ruleset.knowledge.rules}

    def say(self, node: Node) -> Said:
        """One criterion, with all below it."""
        name, told = next((key, value) for key, value in node.items() if key not in QUALIFIERS)
        aside = self._aside(node)
        because = str(node.get("because", ""))
        group = self._group(name, told)
        if group is not None:
            heading, nodes = group
            if len(nodes) == 1 and name in ("all", "any"):
                only = self.say(nodes[0])
                return Said((*only.words, *self._words(aside)), only.parts, because or only.because)
            return Said(self._words([heading, *aside]), tuple(self.say(one) for one in nodes), because)
        if name == "not":
            return self._not(told, aside, because)
        say = CRITERIA.get(name)
        words = say(self, told) if say else [f"{name.replace('_', ' ')}: {_anyhow(told)}"]
        return Said(self._words([*words, *aside]), because=because)

    def _group(self, name: str, told: Any) -> tuple[str, list[Node]] | None:
        if name == "all":
            return "all of", told
        if name == "any":
            return "any of", told
        if name == "at_least":
            return f"at least {told['count']} of", told["of"]
        return None

    def _not(self, told: Node, aside: list[Part], because: str) -> Said:
        inner = self.say(told)
        if inner.parts:
            return Said(self._words([f"not {inner.text}", *aside]), inner.parts, because or inner.because)
        return Said((Run("not: "), *inner.words, *self._words(aside)), because=because or inner.because)

    def _aside(self, node: Node) -> list[Part]:
        told = []
        reads = node.get("reads")
        if reads == "cautious":
            told.append("read cautiously: possible and drafted count, doubt is unknown")
        if reads == "sure":
            told.append("read surely: only what is certain counts")
        if reads == "bands":
            told.append("medicines that may still be taken count")
        if node.get("when_not_supplied") == "no":
            told.append("counts as absent if not supplied")
        return [f" ({'; '.join(told)})"] if told else []

    @staticmethod
    def _words(parts: Iterable[Part]) -> Words:
        """Neighboring plain stretches put together."""
        runs: list[Run] = []
        for part in parts:
            run = Run(part) if isinstance(part, str) else part
            if not run.text:
                continue
            if runs and not run.to and not runs[-1].to:
                runs[-1] = Run(runs[-1].text + run.text)
            else:
                runs.append(run)
        return tuple(runs)

    # -- names

    def set(self, set_id: str, lower: bool = True) -> Run:
        title = self.titles.get(set_id, set_id.replace("-", " "))
        return Run(in_sentence(title) if lower else title, "value-set", set_id)

    def sets(self, value: Any, lower: bool = True) -> list[Part]:
        ids = [value] if isinstance(value, str) else list(value)
        runs = [self.set(one, lower) for one in ids]
        alike = Counter(run.text for run in runs)
        return _alternatives(
            [run if alike[run.text] == 1 else Run(f"{run.text} ({run.id})", run.to, run.id) for run in runs]
        )

    def analyte(self, name: str) -> Run:
        one = self.analytes.get(name)
        if one is None:
            return Run(name.replace("-", " "))
        return Run(in_sentence(one.name), "value-set", one.accepted)

    def analytes_named(self, value: Any) -> list[Part]:
        return _alternatives([self.analyte(one) for one in ([value] if isinstance(value, str) else value)])

    def rule(self, rule_id: str) -> Run:
        rule = self.rules.get(rule_id)
        return Run(f"{rule.number} {rule.title}" if rule else rule_id, "rule", rule_id)

    # -- medicines

    def medication(self, told: Node) -> list[Part]:
        count = told.get("count")
        return [f"takes {count} or more different " if count else "takes ", *self._drugs(told)]

    def order(self, told: Node) -> list[Part]:
        return ["the order being written is for ", *self._drugs(told)]

    def _drugs(self, told: Node) -> list[Part]:
        parts = self.sets(told["in"])
        if "not_in" in told:
            parts += [", except ", *self.sets(told["not_in"])]
        if "with_ingredient" in told:
            parts += [", in one product with ", *self.sets(told["with_ingredient"])]
        if "form" in told:
            parts.append(f", in {told['form']} form")
            parts.append(" or in a form not stated" if told.get("unknown_form") == "counts" else "")
        for key, when in (("daily_amount", "a day"), ("single_amount", "in one dose")):
            if key in told:
                parts.append(f", {self._comparison(told[key])} {when}")
        if told.get("scheduled"):
            parts.append(", regularly and not only as needed")
        if "for_at_least" in told:
            parts.append(f", for at least {told['for_at_least']}")
            parts.append(" or since an unknown day" if told.get("unknown_start") == "counts" else "")
        if "started_before" in told:
            parts.append(f", started more than {told['started_before']} ago")
        if "started_within" in told:
            parts.append(f", started in the last {told['started_within']}")
        if "indication" in told:
            parts += [", given for ", *self.sets(told["indication"])]
        if "unlike" in told:
            parts.append(
                ", apart from the order that this draft renews unchanged"
                if told.get("renewals") == "apart"
                else f", another ingredient than that of the {told['unlike']}"
            )
        if told.get("drafts") == "apart":
            parts.append(", drafts left aside")
        return parts

    # -- results

    def _comparison(self, told: Node) -> str:
        return " and ".join(f"{words} {amount(told[key])}" for key, words in COMPARISONS.items() if key in told)

    def _question(self, told: Node) -> list[Part]:
        """` below 3.5 mmol/L`, with its leading space; empty when nothing is compared."""
        parts: list[Part] = []
        if comparison := self._comparison(told):
            parts.append(f" {comparison}")
        if "times_upper_limit" in told:
            ((word, factor),) = told["times_upper_limit"].items()
            limit = "its upper limit of normal" if str(factor) == "1" else f"{factor} times its upper limit of normal"
            parts.append(f" {COMPARISONS[word]} {limit}")
        if "value_in" in told:
            parts += [" answered as ", *self.sets(told["value_in"], lower=False)]
        return parts

    def observation(self, told: Node) -> list[Part]:
        analyte, question = self.analyte(told["in"]), self._question(told)
        if "of" in told:
            parts: list[Part] = ["this ", analyte, *question]
        elif "worse_of" in told:
            parts = ["the worse of the two newest results of ", analyte, *question]
        elif "any_of" in told:
            parts = ["one of the two newest results of ", analyte, *question]
        elif question:
            parts = [analyte, *question]
        else:
            parts = ["a usable result of ", analyte]
        if "within" in told:
            parts.append(f" in the last {told['within']}")
        if "not_older_than" in told:
            parts += [", not older than the newest ", self.analyte(told["not_older_than"])]
        if told.get("preliminary") == "counts":
            parts.append(", preliminary results count")
        if told.get("hemolyzed") == "apart":
            parts.append(", hemolyzed samples left aside")
        return parts

    def no_result(self, told: Node) -> list[Part]:
        parts: list[Part] = ["no usable result of ", *self.analytes_named(told["in"])]
        if "within" in told:
            parts.append(f" in the last {told['within']}")
        if "since" in told:
            since = told["since"]
            parts += [" since ", *self.sets(since["in"]), f" that was noted in the last {since['within']}"]
        if "not_older_than" in told:
            parts += [" that is not older than the newest ", self.analyte(told["not_older_than"])]
        return parts

    def doubtful(self, told: Node) -> list[Part]:
        parts: list[Part] = [
            "the newest ",
            self.analyte(told["in"]),
            " cannot be relied on: unusable, preliminary, open-ended or hemolyzed",
        ]
        if "conflict" in told:
            parts.append(f", or contradicted ({self._conflicting(told['conflict'])})")
        return parts

    def conflict(self, told: Node) -> list[Part]:
        return ["the two newest results of ", self.analyte(told["in"]), " contradict each other: ",
                self._conflicting(told)]  # fmt: skip

    def _conflicting(self, told: Node) -> str:
        return (
            f"both of the last {told['within']}, at most {told['apart']} apart, "
            f"{amount(told['differ_by'])} or more between them"
        )

    def unreadable(self, told: Node) -> list[Part]:
        return [
            "a ",
            self.analyte(told["in"]),
            f" of the last {told['within']} that cannot be read safely and whose number would be below "
            f"{amount(told['below'])} or at least {amount(told['at_least'])}",
        ]

    def rise(self, told: Node) -> list[Part]:
        by = str(told["at_least"])
        how = f"at least {by}" if by.endswith(" times") else f"at least {amount(by)} above"
        return [
            "the newest ",
            self.analyte(told["in"]),
            f", of the last {told['within']}, is {how} the lowest of the {told['above_lowest_of']} before it",
        ]

    def fall(self, told: Node) -> list[Part]:
        return [
            self.analyte(told["in"]),
            f" falls by more than {amount(told['more_than'])} in {told['a']}, "
            f"measured over {told['apart']} to {told['of']}",
        ]

    def ever(self, told: Node) -> list[Part]:
        when = f", in the last {told['within']}" if "within" in told else ""
        day = f", of the same day as this {told['same_day_as']}" if "same_day_as" in told else ""
        return ["any ", self.analyte(told["in"]), *self._question(told), when + day]

    def persists(self, told: Node) -> list[Part]:
        return [
            self.analyte(told["in"]),
            *self._question(told),
            f", now and in a result at least {told['apart']} earlier",
        ]

    # -- the rest of the record

    def condition(self, told: Node) -> list[Part]:
        count = told.get("count")
        place = "just put on the problem list: " if "new" in told else "on record: "
        parts: list[Part] = [f"{count} or more different of " if count else place]
        parts += self.sets(told["in"], lower=False)
        if "within" in told:
            parts.append(f", noted or begun in the last {told['within']}")
            parts.append(" or stated to be active" if told.get("or_active") else "")
        counting = [word for word, key in (("possible", "possible"), ("past", "history")) if told.get(key) == "counts"]
        if counting:
            parts.append(f" ({' and '.join(counting)} ones count)")
        return parts

    def procedure(self, told: Node) -> list[Part]:
        return ["on record: ", *self.sets(told["in"], lower=False), f" in the last {told['within']}"]

    def allergy(self, told: Node) -> list[Part]:
        return ["on record: ", *self.sets(told["in"], lower=False)]

    def age(self, told: Any) -> list[Part]:
        if told == "unknown":
            return ["age not known"]
        bounds = [f"{told['at_least']} or older"] if "at_least" in told else []
        bounds += [f"under {told['below']}"] if "below" in told else []
        possible = " (a possible age counts)" if told.get("possible") == "counts" else ""
        return [f"age {' and '.join(bounds)}{possible}"]

    def due_date(self, told: Node) -> list[Part]:
        return [self.analyte(told["in"]), f" in the next {told['in_the_next']}"]

    def not_supplied(self, told: Any) -> list[Part]:
        return [f"{listed(_KINDS.get(kind, kind) for kind in told)} not supplied, or only in part"]

    # -- layers

    def fact(self, told: str) -> list[Part]:
        return [Run(in_sentence(self.facts.get(told, told)), "fact", told)]

    def gate(self, told: str) -> list[Part]:
        return [Run(in_sentence(self.gates.get(told, told)), "gate", told), " is allowed by its gate"]

    def finding(self, told: Any) -> list[Part]:
        if isinstance(told, str):
            return [self.rule(told), " fires"]
        bands = [told["band"]] if isinstance(told.get("band"), str) else list(told.get("band", ()))
        where = f" in band {listed(bands)}" if bands else ""
        return [self.rule(told["id"]), f" fires{where}"]


def _alternatives(runs: list[Run]) -> list[Part]:
    parts: list[Part] = []
    for position, run in enumerate(runs):
        if position:
            parts.append(" or " if position + 1 == len(runs) else ", ")
        parts.append(run)
    return parts


def _anyhow(told: Any) -> str:
    if isinstance(told, Mapping):
        return ", ".join(f"{key} {_anyhow(value)}".replace("_", " ") for key, value in told.items())
    return listed(map(_anyhow, told)) if isinstance(told, list) else str(told)


def _with(text: str) -> Callable[[Sayer, Any], list[Part]]:
    return lambda _, told: [text.format(told)]


CRITERIA: dict[str, Callable[[Sayer, Any], list[Part]]] = {
    "medication": Sayer.medication,
    "order": Sayer.order,
    "observation": Sayer.observation,
    "no_result": Sayer.no_result,
    "doubtful": Sayer.doubtful,
    "conflict": Sayer.conflict,
    "unreadable": Sayer.unreadable,
    "hemolyzed": lambda _, told: [f"this {told['of']} comes from a hemolyzed sample"],
    "preliminary": lambda _, told: [f"this {told['of']} is preliminary"],
    "rise": Sayer.rise,
    "fall": Sayer.fall,
    "ever": Sayer.ever,
    "persists": Sayer.persists,
    "condition": Sayer.condition,
    "procedure": Sayer.procedure,
    "allergy": Sayer.allergy,
    "age": Sayer.age,
    "sex": _with("{}"),
    "deceased": _with("deceased"),
    "due_date": Sayer.due_date,
    "not_supplied": Sayer.not_supplied,
    "fact": Sayer.fact,
    "gate": Sayer.gate,
    "finding": Sayer.finding,
    "tier": lambda _, told: [f"contributor level {told['at_least']} or higher"],
    "contributors": lambda _, told: [
        f"{told['at_least']} or more contributors"
        + (f" outside the group {told['outside'].replace('-', ' ')}" if "outside" in told else "")
    ],
    "hook": _with("called at {}"),
    "mode": lambda _, told: ["leg cramps are on record" if told == "full" else "no leg cramps are on record"],
    "shown": lambda _, told: [f"a card of level {told['at_least']} or higher is shown"],
    "setting": lambda _, told: [
        listed((f"the site's setting {key.replace('_', ' ')} is {value}" for key, value in told.items()), "and")
    ],
}
"""The words of every criterion that is not a combination."""
