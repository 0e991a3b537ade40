"""Draws cards in the terminal as a clinician would read them."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.rule import Rule as Line
from rich.text import Text

from cds_service.assess import Assessment
from cds_service.cards.model import Card

_STYLES = {"info": "blue", "warning": "yellow", "critical": "red"}


def show_assessment(console: Console, name: str, hook: str, assessment: Assessment) -> None:
    """Everything about one file."""
    console.print(Line(Text(f"{name}  {hook}", style="bold"), align="left"))
    for card in assessment.cards:
        console.print(_panel(card))
    if not assessment.cards:
        console.print(Text(_why_no_cards(assessment)))
    for held in assessment.held_back:
        console.print(
            Text(f"Held back until {held.until:%Y-%m-%d}: {held.rule}, overridden as {held.reason}", style="dim")
        )
    for gap in assessment.data_gaps:
        source = f" ({gap.reference})" if gap.reference else ""
        console.print(Text(f"Data gap: {gap.text}{source}", style="dim"))
    tier = assessment.tier
    if tier is not None:
        named = ", ".join(f"{one.finding.rule.title} {one.points}" for one in tier.contributors) or "none"
        console.print(Text(f"Contributor level: {tier.level} ({tier.points} points; {named})", style="dim"))
    console.print()


def _panel(card: Card) -> Panel:
    parts: list[RenderableType] = []
    if card.detail:
        parts.append(Markdown(card.detail))
    if card.suggestions:
        parts.append(Text("\nOffers", style="bold"))
        for suggestion in card.suggestions:
            parts.append(Text(f"[ ] {suggestion.label}"))
            parts += [Text(f"      {action.type}: {action.description}", style="dim") for action in suggestion.actions]
    if card.override_reasons:
        reasons = "; ".join(reason.display or reason.code for reason in card.override_reasons)
        parts.append(Text(f"\nIf dismissed: {reasons}", style="dim"))
    parts += [Text(f"{link.label}: {link.url}", style="dim") for link in card.links]
    style = _STYLES[card.indicator]
    return Panel(
        Group(Text(card.summary, style="bold"), Text(), *parts),
        title=Text(f" {card.indicator.upper()} ", style=f"bold {style}"),
        subtitle=Text(f" {card.source.label}: {card.source.topic.display or card.source.topic.code} ", style="dim"),
        title_align="left",
        subtitle_align="right",
        border_style=style,
    )


def _why_no_cards(assessment: Assessment) -> str:
    if assessment.gate:
        return f"No cards: {assessment.gate}."
    return "No cards."
