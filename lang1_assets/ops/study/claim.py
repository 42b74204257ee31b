"""A finding of the paper as a testable statement, and what this hospital says to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "does not hold", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One finding, written down once."""

    name: str
    """Key of its check."""
    paper: str
    """Where the paper says it: `Fig. 2b, section 2`."""
    statement: str
    """In words that a test can decide: `finetuned exceeds the best zero-shot model on every task`."""
    statistic: str
    """What is computed, and when it holds: `paired difference of AUROC, 95 % interval above 0 on all tasks`."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim on one hospital."""

    claim: Claim
    verdict: Verdict
    numbers: str
    """One or two sentences with the numbers behind the verdict."""
    figure: str
    """The study whose figure shows it."""
    details: tuple[dict[str, object], ...] = ()
    """One row a comparison."""
    sources: tuple[str, ...] = ()
    """The artifacts that it was judged from."""
