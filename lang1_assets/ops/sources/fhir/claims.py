"""What insurers decided, of a FHIR export: ExplanationOfBenefit and ClaimResponse as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from lang1_assets.ops.sources.fhir.elements import Element, Row
from lang1_assets.ops.sources.fhir.links import Links

RESOURCE_TYPES = ("ExplanationOfBenefit", "ClaimResponse")
COLUMNS = (
    "claim_id",
    "encounter_id",
    "subject_id",
    "resource_type",
    "use",
    "status",
    "outcome",
    "disposition",
    "is_denied",
    "total_submitted",
    "total_benefit",
    "adjudication_codes",
    "status_time",
)
DENIAL_CODES = frozenset({"denied", "denialreason"})
NOT_CERTIFIED = "A3"
REVIEW_ACTION_SYSTEM = "https://codesystem.x12.org/005010/306"
REVIEW_ACTION = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction"
"""X12 code list 306 as Da Vinci Prior Authorization Support has it; other codings may have a code A3 that means no denial."""
PATIENT_SHARES = ("deductible", "copay", "coinsurance", "coins")
UNDECIDED_OUTCOMES = ("queued", "partial")


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A category with its reasons and amount: of an adjudication, a total or an error."""

    category_codes: frozenset[str]
    codes: frozenset[str]
    """Of the category, the reason and the review action."""
    amount: Decimal | None


class Judgements(NamedTuple):
    """By where they stand."""

    totals: list[Judgement]
    whole: list[Judgement]
    """The claim's own adjudications."""
    items: list[Judgement]
    details: list[Judgement]
    """Of the details of items: their item repeats their sum."""
    errors: list[Judgement]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What `is_denied` is decided on."""

    outcome: str | None
    codes: frozenset[str]
    """Of every judgement whose amount is not zero: payers list 'noncovered 0.00' on what they pay in full."""
    submitted: Decimal | None
    benefit: Decimal | None
    payment: Decimal | None
    patient_share: Decimal
    is_adjudicated: bool
    """Anything was judged, beyond a repetition of what was submitted."""


def claim_row(claim: Element, links: Links) -> Row:
    """A row of `COLUMNS`. `claim_id` is "ExplanationOfBenefit/ID" or "ClaimResponse/ID", as the two may number alike.

    The encounter is the first one of the items, else that of the Claim it answers, if the export has it. Amounts are the
    totals of category 'submitted' and 'benefit', else the sums of these categories over the claim or its items; an
    ExplanationOfBenefit has the items' net prices as well.
    """
    judged = judgements_of(claim)
    decision = decision_of(claim, judged)
    is_denied_now = is_denied(decision)
    codes = {code for part in judged for judgement in part for code in judgement.codes}
    return {
        "claim_id": f"{claim.text('resourceType')}/{claim.text('id')}",
        "encounter_id": encounter_of(claim) or links.get("claim", claim_answered(claim) or ""),
        "subject_id": claim.object("patient").reference_id("Patient", claim.text("id")),
        "resource_type": claim.text("resourceType"),
        "use": claim.text("use"),
        "status": claim.text("status"),
        "outcome": claim.text("outcome"),
        "disposition": claim.text("disposition"),
        "is_denied": None if is_denied_now is None else str(is_denied_now).lower(),
        "total_submitted": text_of(decision.submitted),
        "total_benefit": text_of(decision.benefit),
        "adjudication_codes": "|".join(sorted(codes)) or None,
        "status_time": claim.time("created"),
    }


def is_denied(decision: Decision) -> bool | None:
    """Whether the payer refused the whole claim; None when nothing was decided yet.

    1. Outcome 'error' is a denial.
    2. Money paid, as total benefit or payment, is none: a payer that refuses one line of several pays for the others.
    3. A code 'denied' or 'denialreason', or X12 review action A3 (not certified), is one.
    4. A patient's share (deductible, copayment, coinsurance) is none: such a claim was covered.
    5. 'noncovered' with a benefit of zero, and a benefit or payment of exactly zero where more was submitted, are denials.
    6. Otherwise what was adjudicated was allowed. Outcomes 'queued' and 'partial' without amounts are no decision.
    """
    paid = [amount for amount in (decision.benefit, decision.payment) if amount is not None]
    if decision.outcome == "error":
        return True
    if any(amount > 0 for amount in paid):
        return False
    if decision.codes & {*DENIAL_CODES, NOT_CERTIFIED}:
        return True
    if decision.patient_share > 0:
        return False
    is_unpaid = 0 in paid and (decision.submitted or 0) > 0
    if is_unpaid or (decision.benefit == 0 and "noncovered" in decision.codes):
        return True
    if paid or (decision.is_adjudicated and decision.outcome not in UNDECIDED_OUTCOMES):
        return False
    return None


def decision_of(claim: Element, judged: Judgements) -> Decision:
    everything = [judgement for part in judged for judgement in part]
    submitted = amount_of(judged, "submitted")
    return Decision(
        outcome=claim.text("outcome"),
        codes=frozenset(code for judgement in everything if judgement.amount != 0 for code in judgement.codes),
        submitted=net_of(claim) if submitted is None else submitted,
        benefit=amount_of(judged, "benefit"),
        payment=claim.object("payment").object("amount").number("value"),
        patient_share=sum((amount_of(judged, share) or Decimal() for share in PATIENT_SHARES), Decimal()),
        is_adjudicated=any(judgement.codes - {"submitted"} for judgement in everything),
    )


def judgements_of(claim: Element) -> Judgements:
    items = claim.objects("item") + claim.objects("addItem")
    errors = (codes_of(error.object("code")) for error in claim.objects("error"))
    return Judgements(
        totals=[judgement_of(total) for total in claim.objects("total")],
        whole=adjudications_of([claim]),
        items=adjudications_of(items),
        details=adjudications_of(details_of(items)),
        errors=[Judgement(category_codes=frozenset(), codes=codes, amount=None) for codes in errors],
    )


def adjudications_of(parts: Iterable[Element]) -> list[Judgement]:
    return [judgement_of(adjudication) for part in parts for adjudication in part.objects("adjudication")]


def judgement_of(element: Element) -> Judgement:
    category = codes_of(element.object("category"))
    return Judgement(
        category_codes=category,
        codes=category | codes_of(element.object("reason")) | frozenset(review_actions(element)),
        amount=element.object("amount").number("value"),
    )


def codes_of(concept: Element) -> frozenset[str]:
    """Lower case, as servers differ there; review actions stay upper case."""
    others = (coding for coding in concept.objects("coding") if coding.text("system") != REVIEW_ACTION_SYSTEM)
    lower = {code.lower() for coding in others if (code := coding.text("code"))}
    return frozenset(lower) | frozenset(concept.codes((REVIEW_ACTION_SYSTEM,)))


def review_actions(adjudication: Element) -> Iterator[str]:
    for extension in adjudication.objects("extension"):
        if extension.text("url") == REVIEW_ACTION:
            for part in extension.objects("extension"):
                yield from part.object("valueCodeableConcept").codes()


def details_of(items: Iterable[Element]) -> Iterator[Element]:
    for item in items:
        for detail in item.objects("detail"):
            yield detail
            yield from detail.objects("subDetail")


def amount_of(judged: Judgements, category: str) -> Decimal | None:
    """Of a category: its total, else its sum over the claim's own adjudications, else over those of its items."""
    for part in (judged.totals, judged.whole, judged.items):
        amounts = [each.amount for each in part if category in each.category_codes and each.amount is not None]
        if amounts:
            return sum(amounts, Decimal())
    return None


def net_of(claim: Element) -> Decimal | None:
    nets = [item.object("net").number("value") for item in claim.objects("item")]
    found = [net for net in nets if net is not None]
    return sum(found, Decimal()) if found else None


def encounter_of(claim: Element) -> str | None:
    """The first encounter of the items of a Claim or an ExplanationOfBenefit."""
    references = (each for item in claim.objects("item") for each in item.objects("encounter"))
    found = (reference.reference_id("Encounter", claim.text("id")) for reference in references)
    return next(filter(None, found), None)


def claim_answered(claim: Element) -> str | None:
    name = "request" if claim.text("resourceType") == "ClaimResponse" else "claim"
    return claim.object(name).reference_id("Claim", claim.text("id"))


def text_of(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
