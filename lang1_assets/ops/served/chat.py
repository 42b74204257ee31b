"""Probabilities from answers: for models whose log-probabilities nobody is given (paper 5.5, appendix J).

Each note is asked about `num_samples` times, and the share of an option among the valid answers is its probability. At
temperature 0 one answer is asked for, and its option gets 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.served.answers import parse_answer
from lang1_assets.ops.served.asking import PaidAnswers, ask_now
from lang1_assets.ops.served.errors import Reason, RefusedError, ServedError, TransientError
from lang1_assets.ops.served.model import Sampling
from lang1_assets.ops.served.wording import PROBE


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one note was answered."""

    options: tuple[int | None, ...]
    """Index of the option that each answer chose, None for an invalid one; none at all for a note that was refused."""
    reason: Reason | None = None


class ChatScorer:
    """Asks about one prompt at a time; threads share it."""

    def __init__(self, paid: PaidAnswers, letters: Sequence[str], sampling: Sampling, seed: int) -> None:
        self._paid = paid
        self._letters = list(letters)
        self._sampling = sampling
        self._seed = seed

    def check(self) -> None:
        """Ask a question of our own, past the ledger, so that a server that refuses them all is no list of refused notes.

        Raises:
            ServedError: it refuses that too.
        """
        try:
            ask_now(self._paid.client, "chat/completions", self._body(PROBE, 0), self._read)
        except RefusedError as error:
            client = self._paid.client
            raise ServedError(
                f"the server at {client.where} refuses every question to model '{client.model.name}' ({error.reason}); it may not "
                "know a field of the request (extra: {FIELD: null} takes one out) or have no chat template"
            ) from None

    def answers(self, prompt: str) -> Answers:
        """One request a sample, each with a seed of its own: servers give the answers of one request the same seed, or ignore
        how many were asked for.
        """
        try:
            options = tuple(self._sample(prompt, number) for number in range(self._sampling.num_samples))
        except RefusedError as error:
            return Answers(options=(), reason=error.reason)
        return Answers(options=options)

    def _sample(self, prompt: str, number: int) -> int | None:
        body = self._body(prompt, number)
        held = self._paid.ask("chat/completions", body, self._read, self._letters, number)
        option: int | None = held["option"]
        return option

    def _body(self, prompt: str, number: int) -> dict[str, Any]:
        model = self._paid.client.model
        system = [{"role": "system", "content": model.instruction}] if model.instruction else []
        return {
            "model": model.name,
            "messages": [*system, {"role": "user", "content": prompt}],
            "max_tokens": model.max_answer_tokens,
            "temperature": self._sampling.temperature,
            # Nothing that would reweight what the model says.
            "top_p": 1.0,
            "seed": sample_seed(self._seed, prompt, number),
        }

    def _read(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Only the option is kept: a written answer may quote the note."""
        try:
            content = answer["choices"][0]["message"].get("content")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise TransientError("an answer without a message") from None
        return {"option": parse_answer(content if isinstance(content, str) else None, self._letters)}


def sample_seed(seed: int, prompt: str, number: int) -> int:
    """31 bits: what every server takes."""
    digest = hashlib.blake2b(f"{seed}:{number}:{prompt}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def shares(answers: Answers, num_options: int) -> NDArray[np.float64]:
    """(num_options,) probabilities of a note that was asked about.

    A note without one valid answer gets the same probability for each option. It stays in, so that every model is measured on
    the same notes and none gains by not answering; prevalences would hand the model what only the labels know. How many
    notes that are is reported beside every score.
    """
    counts = np.bincount([option for option in answers.options if option is not None], minlength=num_options)
    return counts / counts.sum() if counts.sum() else np.full(num_options, 1 / num_options)


def sampled(probabilities: NDArray[np.float64], sampling: Sampling, seed: int) -> NDArray[np.float64]:
    """What a model with log-probabilities would get if it could only be sampled; (n, k) to (n, k).

    Every table can show it beside, because sampling alone costs several points of AUROC. Rows of NaN, notes that were not
    scored, stay so.
    """
    drawn = np.full(probabilities.shape, np.nan)
    rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
    if sampling.temperature == 0:
        drawn[rows] = np.eye(probabilities.shape[1])[probabilities[rows].argmax(axis=1)]
        return drawn
    tempered = probabilities[rows] ** (1 / sampling.temperature)
    tempered /= tempered.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    drawn[rows] = rng.multinomial(sampling.num_samples, tempered) / sampling.num_samples
    return drawn
