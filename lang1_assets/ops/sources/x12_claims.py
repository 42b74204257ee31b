"""What the segments of an X12 835 say about a claim and its payment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from lang1_assets.ops.sources.x12_segments import Segment, SegmentError

NUMBER = re.compile(r"-?(\d{1,15}(\.\d{0,6})?|\.\d{1,6})", re.ASCII)
DATE = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
ADJUSTMENT_GROUP = re.compile(r"[A-Z]{2}")
ADJUSTMENT_REASON = re.compile(r"[A-Z0-9]{1,5}")
STATUS = re.compile(r"\d{1,2}", re.ASCII)
CLAIM_LENGTHS = {1: 38, 6: 2, 7: 50, 8: 2, 9: 1, 10: 2, 11: 4}
"""Longest value of the elements of CLP; a longer one has swallowed something else."""
CLAIM_NUMBERS = (3, 4, 5, 12, 13)
CLAIM_DATES = {"232": "statement_from", "233": "statement_to", "050": "received_date"}

DENIED_STATUS = "4"
PROCESSED_STATUSES = frozenset({"1", "2", "3", "19", "20", "21"})
"""Processed as primary, secondary or tertiary, forwarded or not; 22 is a reversal, 23 not our claim, 25 a price only."""
DENIAL_GROUPS = frozenset({"CO", "OA", "PI"})
"""Contractual obligation, other adjustment, payer initiated."""

Row = dict[str, str | None]


@dataclass(kw_only=True)
class Payment:
    """What the head of a transaction set says for all its claims."""

    payer: str | None = None
    production_date: str | None = None
    payment_date: str | None = None


@dataclass(kw_only=True)
class Claim:
    source_line: str
    values: Row = field(default_factory=dict)
    adjustments: dict[str, Decimal] = field(default_factory=dict)
    """Group and reason, such as 'CO-45' -> amount, summed over the claim and its services."""
    reject_reason: str | None = None


def read_payment(payment: Payment, segment_id: str, segment: Segment) -> None:
    """Take over what a segment before the first claim says."""
    if segment_id == "BPR":
        paid_on = segment.elements(maximum=21)[16]
        payment.payment_date = date_of(paid_on) if paid_on else None
    elif segment_id == "DTM":
        elements = segment.elements(minimum=1)
        if elements[1] == "405":
            payment.production_date = date_of(elements[2])
    elif segment_id == "N1":
        elements = segment.elements(minimum=1, maximum=6)
        if elements[1] == "PR":
            payment.payer = limited(elements[2], 60)


def claim_values(segment: Segment) -> Row:
    elements = segment.elements(minimum=4, maximum=14)
    for number, length in CLAIM_LENGTHS.items():
        limited(elements[number], length)
    if not STATUS.fullmatch(elements[2]):
        raise SegmentError("malformed_segment")
    for amount in filter(None, (elements[number] for number in CLAIM_NUMBERS)):
        decimal_of(amount)
    return {
        "claim_id": elements[1],
        "payer_claim_id": elements[7] or None,
        "claim_status_code": elements[2],
        "charge_amount": elements[3],
        "paid_amount": elements[4],
        "filing_code": elements[6] or None,
        "frequency_code": elements[9] or None,
    }


def claim_date(segment: Segment) -> Row:
    elements = segment.elements(minimum=1)
    name = CLAIM_DATES.get(elements[1])
    return {name: date_of(elements[2])} if name else {}


def adjustments_of(segment: Segment) -> Iterator[tuple[str, Decimal]]:
    """Of a CAS segment: a group and up to six times a reason, an amount and a quantity."""
    group, *elements = segment.elements(minimum=3, maximum=19)[1:]
    for reason, amount in zip(elements[0::3], elements[1::3], strict=True):
        if not reason and not amount:
            continue
        if not ADJUSTMENT_GROUP.fullmatch(group) or not ADJUSTMENT_REASON.fullmatch(reason) or not amount:
            raise SegmentError("malformed_segment")
        yield f"{group}-{reason}", decimal_of(amount)


def is_denied(claim: Claim) -> bool:
    """Whether the payer refused the whole claim.

    Status 4 says so. Many payers keep status 1 to 3 when they refuse every service, so a processed claim counts as well if
    it has a charge and no payment and its whole charge was adjusted away in groups CO, OA and PI. An amount in PR is the
    patient's share (deductible, copayment): such a claim was covered. What cannot be told from denial this way are claims
    paid by capitation (CO-24) or by another payer before (OA-23): `adjustment_codes` has them.
    """
    if claim.values["claim_status_code"] == DENIED_STATUS:
        return True
    charge, paid = Decimal(claim.values["charge_amount"] or 0), Decimal(claim.values["paid_amount"] or 0)
    refused = sum(amount for code, amount in claim.adjustments.items() if code[:2] in DENIAL_GROUPS)
    return (
        claim.values["claim_status_code"] in PROCESSED_STATUSES
        and paid == 0 < charge <= refused
        and not any(amount for code, amount in claim.adjustments.items() if code.startswith("PR-"))
    )


def decimal_of(text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        raise SegmentError("bad_number")
    return Decimal(text)


def date_of(text: str) -> str:
    found = DATE.fullmatch(text)
    if found is None:
        raise SegmentError("malformed_segment")
    return "-".join(found.groups())


def limited(text: str, length: int) -> str | None:
    """The text itself, none when it is empty; too long, it has swallowed something else."""
    if len(text) > length:
        raise SegmentError("malformed_segment")
    return text or None
