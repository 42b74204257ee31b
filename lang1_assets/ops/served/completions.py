"""Probabilities from a completions server: one request a note, and more for the letters that it did not list.

The most likely tokens after the prompt come with their log-probabilities. A letter that is not among them is no letter of
probability zero: it is asked for by itself. Filled in instead, 48 of 48 notes of an untuned model had been given 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.served.abilities import Abilities
from lang1_assets.ops.served.asking import PaidAnswers
from lang1_assets.ops.served.errors import Reason, RefusedError
from lang1_assets.ops.served.logprobs import NOTHING
from lang1_assets.ops.served.wording import (
    BIAS,
    Body,
    Prompt,
    best_logprob,
    echoed_logprob,
    forced_logprob,
    listed_letters,
)


@dataclass(frozen=True, kw_only=True)
class NoteScore:
    probabilities: NDArray[np.float64] | None
    """(k,), summing to 1; None for a note that is not scored."""
    reason: Reason | None = None
    num_missing: int = 0
    """Letters that were not among the most likely tokens."""
    mass: float | None = None
    """Probability that the model gives to all letters together, before they are normalized."""


@dataclass(frozen=True, kw_only=True)
class LetterLogprobs:
    values: list[float | None]
    """Of each letter, None for one that the server gives no number for; one constant less than the true ones where a bias
    shows (`Abilities.rescue`).
    """
    num_missing: int
    """Letters that were looked for among the most likely tokens and were not there."""
    best: float | None
    """Of the most likely token, where tokens were listed."""


class CompletionsScorer:
    """Scores one prompt at a time; threads share it."""

    def __init__(
        self, paid: PaidAnswers, letters: Sequence[str], letter_ids: Sequence[int] | None, abilities: Abilities
    ) -> None:
        self._paid = paid
        self._letters = list(letters)
        self._ids = list(letter_ids) if letter_ids is not None else None
        self._abilities = abilities

    def score(self, form: Prompt) -> NoteScore:
        """Of a prompt as text or as ids, whichever the abilities say."""
        try:
            found = self.logprobs(form)
        except RefusedError as error:
            return NoteScore(probabilities=None, reason=error.reason)
        if None in found.values:
            return NoteScore(probabilities=None, reason="letter_not_in_top_logprobs", num_missing=found.num_missing)
        logprobs = np.array(found.values, dtype=np.float64)
        return normalized(logprobs, found.num_missing, is_biased=self._abilities.rescue == "biased")

    def logprobs(self, form: Prompt) -> LetterLogprobs:
        """Raises RefusedError when the server does not take the prompt."""
        values, best = self._listed(form) if self._abilities.list_is_exact else ([None] * len(self._letters), None)
        missing = [number for number, value in enumerate(values) if value is None]
        for number in missing:
            values[number] = self._single(form, number)
        num_missing = len(missing) if self._abilities.list_is_exact else 0
        return LetterLogprobs(values=values, num_missing=num_missing, best=best)

    def _listed(self, form: Prompt) -> tuple[list[float | None], float | None]:
        """Of each letter and of the most likely token, from one list."""
        body = self._abilities.question(form, self._bias())
        ids = self._ids if self._abilities.token_names == "ids" else None
        held = self._ask(
            body, lambda answer: {"logprobs": listed_letters(answer, self._letters, ids), "best": best_logprob(answer)}
        )
        return list(held["logprobs"]), held["best"]

    def _bias(self) -> dict[int, float] | None:
        """Where a bias shows, the same on each letter: all are listed, and it is gone when they are normalized. Where it does
        not, the first letter is drawn: never a token about which the server would say nothing, and one letter is known.
        """
        if self._ids is None or self._abilities.rescue not in ("forced", "biased"):
            return None
        return dict.fromkeys(self._ids if self._abilities.rescue == "biased" else self._ids[:1], BIAS)

    def _single(self, form: Prompt, number: int) -> float | None:
        """The log-probability of one letter, by a request of its own; None where the server has no way to tell."""
        if self._abilities.rescue in ("none", "biased"):
            return None
        letter, letter_id = self._letters[number], self._ids[number] if self._ids else None
        if self._abilities.rescue == "echo":
            body = self._abilities.echo(form, letter, letter_id)
            held = self._ask(body, lambda answer: {"logprob": echoed_logprob(answer, letter)})
        else:
            assert letter_id is not None
            body = self._abilities.forced(form, letter_id)
            held = self._ask(body, lambda answer: {"logprob": forced_logprob(answer, letter, letter_id)})
        value: float | None = held["logprob"]
        return value

    def _ask(self, body: Body, read: Callable[[Body], Body]) -> Body:
        return self._paid.ask("completions", {"model": self._paid.client.model.name, **body}, read, self._letters)


def normalized(logprobs: NDArray[np.float64], num_missing: int, is_biased: bool = False) -> NoteScore:
    """Softmax of (k,) log-probabilities (paper 5.4)."""
    top = logprobs.max()
    if not top > NOTHING:
        # All minus infinity: a softmax would make that the same for each letter.
        return NoteScore(probabilities=None, reason="letters_without_probability", num_missing=num_missing)
    weights = np.exp(logprobs - top)
    return NoteScore(
        probabilities=weights / weights.sum(),
        num_missing=num_missing,
        mass=None if is_biased else float(np.exp(logprobs).sum()),
    )
