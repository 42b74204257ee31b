"""What a hospital's own spelling says of a person: nothing at all, White, or another race."""

from __future__ import annotations

import polars as pl

SAYS_NOTHING = (
    "unknown", "unable to", "unavailable", "unspecified", "undisclosed", "declined", "decline to", "declines to",
    "refused", "refuses", "refusal", "prefer not", "prefers not", "choose not", "chooses not", "chose not",
    "did not answer", "asked but", "no answer", "no information", "no matching concept", "not answered", "not asked",
    "not available", "not disclosed", "not given", "not known", "not provided", "not recorded", "not reported",
    "not specified", "not stated", "other/unknown", "null", "n/a", "unk", "asku", "nask",
)  # fmt: skip
"""How the words that nobody knows begin, after "patient" if that comes first: `UNKNOWN/NOT SPECIFIED`, `PATIENT DECLINED TO ANSWER`
(MIMIC), `Patient Refused`, `Asked but unknown`, `ASKU` (HL7), `No matching concept` (OMOP)."""
WHITE = ("white", "caucasian")


def recorded(spelling: pl.Expr) -> pl.Expr:
    """The spelling as it is; null where it says that nobody knows, or has neither a letter nor a digit."""
    known = ~lowered(spelling).str.contains(rf"^(?:patient )?(?:{'|'.join(SAYS_NOTHING)})\b")
    return pl.when(known & spelling.str.contains(r"[\pL\pN]")).then(spelling)


def is_not_white(race: pl.Expr) -> pl.Expr:
    """Whether a spelling names a race that does not begin with a word for White (`WHITE - RUSSIAN` does).

    Of several with semicolons between them (FHIR) every one has to. Null where it is not recorded, and where it has no three
    letters in a row: what a code such as `1` or `2106-3` stands for only the hospital knows.
    """
    one = rf"\s*(?:{'|'.join(WHITE)})\b[^;]*"
    said = recorded(race)
    return pl.when(said.str.contains(r"\pL{3}")).then(~lowered(said).str.contains(rf"^{one}(?:;{one})*$"))


def lowered(spelling: pl.Expr) -> pl.Expr:
    return spelling.str.strip_chars().str.to_lowercase()
