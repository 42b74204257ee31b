"""What a completions server can do, found out with a question of our own before any note is sent.

Servers that speak the same API differ in what they take and in what they mean: whether prompts may be token ids, whether
`echo` is heard, whether a bias on a letter shows in its log-probability. A wrong guess gives wrong probabilities without an
error, so each is tried on a prompt whose answer has to be consistent, at every start: the server behind an address may be
another one since. Answers of notes are kept under what was found (`paid_under`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lang1_assets.ops.served.asking import ask_now, token_counts
from lang1_assets.ops.served.client import ServedClient
from lang1_assets.ops.served.errors import RedrawError, RefusedError, ServedError
from lang1_assets.ops.served.logprobs import token_at
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.wording import (
    BIAS,
    PROBE,
    Body,
    Prompt,
    Wording,
    echoed_logprob,
    forced_logprob,
    listed_letters,
)

FEW_LOGPROBS = 5
"""As many as OpenAI's own API gives."""
TOLERANCE = 0.05
"""By which probabilities may exceed 1 together: servers compute in 16 bits."""

Form = Literal["token_ids", "text"]
Bos = Literal["sent", "added_by_server", "left_out", "no_such_token", "unknown"]
Names = Literal["ids", "text"]
Rescue = Literal["forced", "biased", "echo", "none"]


@dataclass(frozen=True, kw_only=True)
class Abilities(Wording):
    prompt_form: Form
    bos: Bos
    """Whether prompts begin with the beginning-of-text token: leaving it out moved probabilities by up to 0.03."""
    token_names: Names
    """How letters are recognized among the most likely tokens."""
    rescue: Rescue
    """How letters that are not among them are found. `forced`: a bias makes the model draw a letter, and its own, unbiased
    log-probability comes with it; a request for each. `biased`: log-probabilities show the bias, and the same one on all
    letters lifts them all among the most likely. `echo`: the prompt with the letter at its end is read back."""

    @property
    def list_is_exact(self) -> bool:
        """Whether letters are looked for in the list at all.

        Named by their text, vLLM writes "A" for the token with a space before it and for the one without, and one of the two
        is lost: it moved a probability by 0.3. Where the prompt can be read back, each letter is asked for by itself instead.
        """
        return self.token_names == "ids" or self.rescue != "echo"


class Prober:
    """Asks the server a few questions; `find` is the whole of it."""

    def __init__(self, client: ServedClient, letters: Sequence[str], tokenizer: PromptTokenizer | None) -> None:
        self._client = client
        self._model = client.model
        self._letters = list(letters)
        self._tokenizer = tokenizer
        self._ids = tokenizer.letter_ids(letters) if tokenizer else None

    def find(self) -> Abilities:
        """Raises ServedError when the server gives no log-probabilities at all."""
        form, bos = self._prompt_form()
        prompt = self._tokenizer.ids(PROBE) if self._tokenizer and form == "token_ids" else PROBE
        wording, names = self._wording(prompt)
        return Abilities(
            **asdict(wording), prompt_form=form, bos=bos, token_names=names, rescue=self._rescue(prompt, wording, names)
        )

    def _prompt_form(self) -> tuple[Form, Bos]:
        if self._tokenizer is None:
            return "text", "unknown"
        ids = self._tokenizer.ids(PROBE)
        has_bos = self._tokenizer.bos_id is not None
        by_ids = self._try({"prompt": ids, "max_tokens": 1})
        if by_ids is not None and token_counts(by_ids)["prompt_tokens"] in (0, len(ids)):
            return "token_ids", "sent" if has_bos else "no_such_token"
        by_text = self._try({"prompt": PROBE, "max_tokens": 1})
        added = token_counts(by_text)["prompt_tokens"] - len(ids) + has_bos if by_text else None
        if not has_bos:
            return "text", "no_such_token" if added == 0 else "unknown"
        return "text", "added_by_server" if added == 1 else "left_out" if added == 0 else "unknown"

    def _wording(self, prompt: Prompt) -> tuple[Wording, Names]:
        """The first way of asking, the most telling ones first, that the server does not refuse."""
        for count in dict.fromkeys((self._model.top_logprobs, FEW_LOGPROBS)):
            for asks_for_ids in (True, False) if self._ids else (False,):
                for ignores_end in (True, False):
                    wording = Wording(top_logprobs=count, asks_for_ids=asks_for_ids, ignores_end=ignores_end)
                    drawn = self._try(wording.question(prompt), lambda answer: {"token": token_at(answer, 0)[0]})
                    if drawn is not None:
                        by_id = self._ids is not None and drawn["token"].token_id is not None
                        return wording, "ids" if by_id else "text"
        raise ServedError(
            f"the server at {self._client.where} refuses every question for log-probabilities of model '{self._model.name}', "
            f"also for {FEW_LOGPROBS} of them; serve it with them, or give it as kind: chat"
        )

    def _rescue(self, prompt: Prompt, wording: Wording, names: Names) -> Rescue:
        if self._ids is not None:
            forced = [self._forced(prompt, number, wording) for number in range(len(self._ids))]
            found = [math.exp(value) for value in forced if value is not None]
            # A bias that shows gives every forced letter a probability near 1: together they are more than 1.
            if len(found) == len(forced):
                return "forced" if sum(found) < 1 + TOLERANCE else self._biased(prompt, wording, names)
        return "echo" if self._hears_echo(prompt, wording) else "none"

    def _forced(self, prompt: Prompt, number: int, wording: Wording) -> float | None:
        assert self._ids is not None
        letter, letter_id = self._letters[number], self._ids[number]
        found = self._try(
            wording.forced(prompt, letter_id), lambda answer: {"logprob": forced_logprob(answer, letter, letter_id)}
        )
        return found["logprob"] if found else None

    def _biased(self, prompt: Prompt, wording: Wording, names: Names) -> Rescue:
        assert self._ids is not None
        ids = self._ids if names == "ids" else None
        found = self._try(
            wording.question(prompt, dict.fromkeys(self._ids, BIAS)),
            lambda answer: {"logprobs": listed_letters(answer, self._letters, ids)},
        )
        return "none" if found is None or None in found["logprobs"] else "biased"

    def _hears_echo(self, prompt: Prompt, wording: Wording) -> bool:
        answer = self._try(wording.echo(prompt, self._letters[0], self._ids[0] if self._ids else None))
        try:
            return answer is not None and echoed_logprob(answer, self._letters[0]) is not None
        except RedrawError:
            return False

    def _try(self, body: Body, read: Callable[[Body], Body] = lambda answer: answer) -> Body | None:
        """What `read` makes of the answer, or None where the server refuses what was asked."""
        try:
            return ask_now(self._client, "completions", {"model": self._model.name, **body}, read)
        except RefusedError:
            return None


def paid_under(abilities: Abilities, tokenizer: PromptTokenizer | None) -> dict[str, Any]:
    """What answers of notes are kept under."""
    return {**asdict(abilities), "tokenizer": tokenizer.fingerprint if tokenizer else None}


def find_abilities(client: ServedClient, letters: Sequence[str], tokenizer: PromptTokenizer | None) -> Abilities:
    """Raises ServedError when the server cannot be used."""
    return Prober(client, letters, tokenizer).find()
