"""Prompts to probabilities by a model behind a server: the one entry to this package (paper 5.5, M41, M42)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.served.abilities import find_abilities, paid_under
from lang1_assets.ops.served.asking import PaidAnswers, ask_all
from lang1_assets.ops.served.chat import Answers, ChatScorer, shares
from lang1_assets.ops.served.client import ServedClient, Usage
from lang1_assets.ops.served.completions import CompletionsScorer, NoteScore
from lang1_assets.ops.served.errors import Reason, ServedError
from lang1_assets.ops.served.ledger import Ledger
from lang1_assets.ops.served.model import Sampling, ServedModel
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.wording import Prompt

FEW_REFUSED = 10
MOST_REFUSED = 0.1
"""A server that refuses at least so many notes, and more than this share of them, is not counted but an error: what it
refuses is then not a matter of the notes."""


@dataclass(frozen=True, kw_only=True)
class ServedScores:
    """Scores of n prompts, and what has to be said beside them."""

    probabilities: NDArray[np.float64]
    """(n, k), rows summing to 1; NaN in the rows of `not_scored`."""
    not_scored: dict[int, Reason]
    """Row -> why. These notes are no part of a metric, and are counted beside it."""
    num_rescued: int
    """Notes with a letter that the first answer did not list and a second one gave."""
    num_answers: int
    """Sampled answers; 0 for a model with log-probabilities."""
    num_invalid: int
    """Sampled answers that chose no option."""
    unanswered: tuple[int, ...]
    """Rows without one valid answer: each option has the same probability there."""
    mean_letter_mass: float | None
    """Mean probability of all letters together before they are normalized: near 0, the model was not about to answer."""
    abilities: dict[str, Any]
    """What was found out about the server (`abilities.Abilities`), or how it was sampled."""
    usage: Usage

    @property
    def invalid_share(self) -> float | None:
        """Of the sampled answers; None where none were sampled."""
        return self.num_invalid / self.num_answers if self.num_answers else None


def score_served(
    prompts: Sequence[str],
    letters: Sequence[str],
    model: ServedModel,
    ledger: Path,
    *,
    sampling: Sampling | None = None,
    seed: int = 0,
    on_progress: Callable[[str], None] = lambda _: None,
) -> ServedScores:
    """Probabilities of the options for each prompt.

    Args:
        prompts: whole prompts that end in `Answer:`, with notes cut so that they fit the model's context.
        ledger: what was paid for; an interrupted run goes on from it. Deleted, everything is asked again.
        sampling: for `chat` models, and for them alone.

    Raises:
        ServedError: the server cannot be used, refuses too many notes, or failed for good; what was paid for until then is kept.
        TokenizerError: `model.tokenizer` is no tokenizer, or an option letter is not one token in it.
    """
    if (sampling is not None) != (model.api == "chat"):
        raise ValueError(f"sampling is for chat models and needed there; api is '{model.api}', sampling {sampling}")
    check_encodable(prompts)
    with Ledger(ledger) as kept, ServedClient(model) as client:
        if sampling is not None:
            scores = by_sampling(prompts, letters, client, kept, sampling, seed, on_progress)
        else:
            scores = by_listing(prompts, letters, client, kept, on_progress)
        check_refusals(scores, client)
        return scores


def by_sampling(
    prompts: Sequence[str],
    letters: Sequence[str],
    client: ServedClient,
    kept: Ledger,
    sampling: Sampling,
    seed: int,
    on_progress: Callable[[str], None],
) -> ServedScores:
    chat = ChatScorer(PaidAnswers(client, kept, {}), letters, sampling, seed)
    chat.check()
    answers = ask_all(chat.answers, prompts, client, on_progress)
    return sampled_scores(answers, len(letters), sampling, client.meter.usage())


def by_listing(
    prompts: Sequence[str],
    letters: Sequence[str],
    client: ServedClient,
    kept: Ledger,
    on_progress: Callable[[str], None],
) -> ServedScores:
    folder = client.model.tokenizer
    tokenizer = PromptTokenizer(folder) if folder else None
    abilities = find_abilities(client, letters, tokenizer)
    paid = PaidAnswers(client, kept, paid_under(abilities, tokenizer))
    scorer = CompletionsScorer(paid, letters, tokenizer.letter_ids(letters) if tokenizer else None, abilities)
    as_ids = tokenizer is not None and abilities.prompt_form == "token_ids"
    forms: Sequence[Prompt] = tokenizer.batch_ids(prompts) if tokenizer and as_ids else prompts
    notes = ask_all(scorer.score, forms, client, on_progress)
    return listed_scores(notes, len(letters), asdict(abilities), client.meter.usage())


def check_refusals(scores: ServedScores, client: ServedClient) -> None:
    """Raises ServedError when the result would consist of refusals."""
    num_notes, reasons = len(scores.probabilities), list(scores.not_scored.values())
    num_refused = reasons.count("refused_by_server")
    are_too_many = num_refused >= FEW_REFUSED and num_refused > MOST_REFUSED * num_notes
    if are_too_many or 0 < num_refused == num_notes:
        raise ServedError(
            f"the server at {client.where} refuses {num_refused} of {num_notes} notes to model '{client.model.name}', "
            "though it takes our own question; look into its log. "
            "Refused notes are asked about again in the next run, what it answered is kept"
        )


def check_encodable(prompts: Sequence[str]) -> None:
    for number, prompt in enumerate(prompts):
        try:
            prompt.encode()
        except UnicodeEncodeError:
            # The exception holds the whole text.
            raise ServedError(f"prompt {number} holds half of a character (a lone surrogate); clean the note") from None


def listed_scores(
    notes: Sequence[NoteScore], num_options: int, abilities: dict[str, Any], usage: Usage
) -> ServedScores:
    nothing = np.full(num_options, np.nan)
    masses = [note.mass for note in notes if note.mass is not None]
    return ServedScores(
        probabilities=np.array(
            [nothing if note.probabilities is None else note.probabilities for note in notes]
        ).reshape(-1, num_options),
        not_scored={row: note.reason for row, note in enumerate(notes) if note.reason is not None},
        num_rescued=sum(note.num_missing > 0 and note.reason is None for note in notes),
        num_answers=0,
        num_invalid=0,
        unanswered=(),
        mean_letter_mass=float(np.mean(masses)) if masses else None,
        abilities=abilities,
        usage=usage,
    )


def sampled_scores(notes: Sequence[Answers], num_options: int, sampling: Sampling, usage: Usage) -> ServedScores:
    nothing = np.full(num_options, np.nan)
    return ServedScores(
        probabilities=np.array([nothing if note.reason else shares(note, num_options) for note in notes]).reshape(
            -1, num_options
        ),
        not_scored={row: note.reason for row, note in enumerate(notes) if note.reason is not None},
        num_rescued=0,
        num_answers=sum(len(note.options) for note in notes),
        num_invalid=sum(option is None for note in notes for option in note.options),
        unanswered=tuple(
            row for row, note in enumerate(notes) if not note.reason and all(option is None for option in note.options)
        ),
        mean_letter_mass=None,
        abilities={"sampled": asdict(sampling)},
        usage=usage,
    )
