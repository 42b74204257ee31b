"""Facts as a card: Markdown for people, JSON for programs, two sentences for the model's page in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from lang1_assets.ops.model_card.facts import Facts
from lang1_assets.ops.model_card.items import HOSPITAL, ITEMS, Item
from lang1_assets.ops.model_card.tables import title, with_interval

SYNTHETIC = "**Synthetic data: the embedded hospital. No number here is about real patients.**"


class Answered(TypedDict):
    """One item as it was answered."""

    number: str
    section: str
    topic: str
    text: str
    is_measured: bool
    is_for_hospital: bool
    asset: str


def answered(facts: Facts) -> list[Answered]:
    return [answer_to(item, facts) for item in ITEMS]


def answer_to(item: Item, facts: Facts) -> Answered:
    text = item.answer(facts)
    return Answered(
        number=item.number,
        section=item.section,
        topic=item.topic,
        text=f"Not measured. The asset `{item.asset}` would." if text is None else text,
        is_measured=text is not None,
        is_for_hospital=text == HOSPITAL,
        asset=item.asset,
    )


def card_markdown(facts: Facts, items: Sequence[Answered]) -> str:
    """The card; synthetic data is called so in the first line."""
    lines = [SYNTHETIC, ""] if facts.is_synthetic else []
    lines += [f"# {facts.variant}, {facts.recipe}", "", in_short(facts), ""]
    lines += ["Items of TRIPOD+AI are in brackets. Every number is from a file that a run left behind.", ""]
    for section in dict.fromkeys(item["section"] for item in items):
        lines += [f"## {section}", ""]
        for item in items:
            if item["section"] == section:
                number = "" if item["number"] == "-" else f" [{item['number']}]"
                lines += [f"### {item['topic']}{number}", "", item["text"], ""]
    return "\n".join(lines).rstrip() + "\n"


def in_short(facts: Facts) -> str:
    """What it predicts and how well on the headline test."""
    found = [row for row in facts.rows if (row["metric"], row["split"]) == ("auroc", facts.headline_split)]
    results = "; ".join(f"{title(row['task'])} {with_interval(row)}" for row in found) or "none"
    return f"Predicts from one clinical note. AUROC on `{facts.headline_split}`: {results}."


def description(facts: Facts) -> str:
    """For the page of the registered model."""
    said = "Synthetic data. " if facts.is_synthetic else ""
    return f"{said}{facts.variant} finetuned on {facts.recipe}. {in_short(facts)} The card is attached to the run."


def unanswered(items: Sequence[Answered]) -> list[str]:
    """What was not measured, with the asset that would."""
    return [f"{item['topic']} ({item['asset']})" for item in items if not item["is_measured"]]
