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
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.wording import BIAS, Body, echoed_logprob, forced_logprob, listed_letters


@dataclass(frozen=True, kw_only=True)
class NoteScore:
    probabilities: NDArray[np.float64] | None
    """(k,), summing to 1; None for a note that is not scored."""
    reason: Reason | None = None
    num_missing: int = 0
    """Letters that were not among the most likely tokens."""
    mass: float | None = None
    """Probability that the model gives to all letters together, before they are normalized."""


class CompletionsScorer:
    """Scores one prompt at a time; threads share it."""

    def __init__(
        self, paid: PaidAnswers, letters: Sequence[str], abilities: Abilities, tokenizer: PromptTokenizer | None
    ) -> None:
        self._paid = paid
        self._letters = list(letters)
        self._abilities = abilities
        self._tokenizer = tokenizer
        self._ids = tokenizer.letter_ids(letters) if tokenizer else None

    def score(self, prompt: str) -> NoteScore:
        form = self._form(prompt)
        try:
            logprobs = self._listed(form) if self._abilities.list_is_exact else [None] * len(self._letters)
            missing = [number for number, value in enumerate(logprobs) if value is None]
            for number in missing:
                logprobs[number] = self._single(form, number)
        except RefusedError as error:
            return NoteScore(probabilities=None, reason=error.reason)
        if None in logprobs:
            return NoteScore(probabilities=None, reason="letter_not_in_top_logprobs", num_missing=len(missing))
        num_missing = len(missing) if self._abilities.list_is_exact else 0
        return normalized(np.array(logprobs, dtype=np.float64), num_missing, self._abilities.rescue)

    def _form(self, prompt: str) -> str | list[int]:
        if self._tokenizer is not None and self._abilities.prompt_form == "token_ids":
            return self._tokenizer.ids(prompt)
        return prompt

    def _listed(self, form: str | list[int]) -> list[float | None]:
        """Of each letter, from one list of most likely tokens."""
        body = self._abilities.question(form, self._bias())
        ids = self._ids if self._abilities.token_names == "ids" else None
        held = self._ask(body, lambda answer: {"logprobs": listed_letters(answer, self._letters, ids)})
        return list(held["logprobs"])

    def _bias(self) -> dict[int, float] | None:
        """Where a bias shows, the same on each letter: all are listed, and it is gone when they are normalized. Where it does
        not, the first letter is drawn: never a token about which the server would say nothing, and one letter is known.
        """
        if self._ids is None or self._abilities.rescue not in ("forced", "biased"):
            return None
        return dict.fromkeys(self._ids if self._abilities.rescue == "biased" else self._ids[:1], BIAS)

    def _single(self, form: str | list[int], number: int) -> float | None:
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


def normalized(logprobs: NDArray[np.float64], num_missing: int, rescue: str) -> NoteScore:
    """Softmax of (k,) log-probabilities (paper 5.4)."""
    top = logprobs.max()
    if not top > NOTHING:
        # All minus infinity: a softmax would make that the same for each letter.
        return NoteScore(probabilities=None, reason="letters_without_probability", num_missing=num_missing)
    weights = np.exp(logprobs - top)
    return NoteScore(
        probabilities=weights / weights.sum(),
        num_missing=num_missing,
        mass=None if rescue == "biased" else float(np.exp(logprobs).sum()),
    )
