"""A served model inside lm-evaluation-harness: a child of its completions API, as the paper had one (5.5, M41).

    python -m lang1_assets.ops.served run --model lang1-served --include_path FOLDER --tasks remede_readmission \\
        --model_args base_url=http://gpu-7:8000/v1/completions,model=NAME,tokenizer=FOLDER,allowed_addresses=gpu-7:8000

The harness's own class sends each option with the whole prompt and reads the prompt back; follows redirects and proxies; and
writes a server's complaint, which quotes the note, into the log. Here options of one token are read from one list of the
most likely tokens, with what is missing from it asked for by itself; every request goes through `client.ServedClient`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lm_eval.api.registry import register_model
from lm_eval.models.openai_completions import LocalCompletionsAPI

from lang1_assets.ops.served.abilities import find_abilities, paid_under
from lang1_assets.ops.served.addresses import LOOPBACK, without_passwords
from lang1_assets.ops.served.asking import PaidAnswers, ask_all
from lang1_assets.ops.served.client import ServedClient
from lang1_assets.ops.served.completions import CompletionsScorer
from lang1_assets.ops.served.errors import RedrawError, ServedError
from lang1_assets.ops.served.ledger import Ledger
from lang1_assets.ops.served.logprobs import token_at
from lang1_assets.ops.served.model import ServedModel
from lang1_assets.ops.served.prompt_forms import PromptTokenizer
from lang1_assets.ops.served.wording import Body

NAME = "lang1-served"
ENDPOINT = "/completions"
PROBED_LETTERS = ("A", "B")

Option = tuple[int, tuple[int, ...]]
"""Which request, and the option's token ids."""


@register_model(NAME)
class HarnessServedModel(LocalCompletionsAPI):
    """Arguments as the harness's `local-completions`, and those of `model.ServedModel` that a command line can say."""

    def __init__(
        self,
        base_url: str,
        model: str,
        tokenizer: str,
        allowed_addresses: str = LOOPBACK,
        ledger: str | None = None,
        add_bos_token: bool = True,
        num_concurrent: int = 8,
        timeout: float = 120,
        max_retries: int = 8,
        top_logprobs: int = 20,
        version: str = "",
        api_key_variable: str | None = None,
        requests_per_minute: float | None = None,
        **kwargs: Any,
    ) -> None:
        """
        Args:
            base_url: ends in `/completions`, as the harness has it.
            tokenizer: the model's own, a folder.
            allowed_addresses: `host:port`, several with `;` between them.
            ledger: file of what was paid for; without one, an interrupted run begins anew.

        Raises:
            ServedError: the server or an argument cannot be used.
        """
        if not base_url.endswith(ENDPOINT):
            raise ServedError(
                f"base_url {without_passwords(base_url)}: must end in {ENDPOINT}, as http://127.0.0.1:8000/v1/completions"
            )
        super().__init__(
            base_url=base_url,
            model=model,
            tokenizer=tokenizer,
            # Any other would send notes past the client below.
            tokenizer_backend="huggingface",
            add_bos_token=add_bos_token,
            num_concurrent=1,
            max_retries=1,
            **kwargs,
        )
        served = ServedModel(
            api="completions",
            url=base_url.removesuffix(ENDPOINT),
            name=model,
            version=version,
            tokenizer=Path(tokenizer),
            allowed_addresses=tuple(str(allowed_addresses).split(";")),
            api_key_variable=api_key_variable,
            answer_timeout_seconds=float(timeout),
            max_concurrent=int(num_concurrent),
            requests_per_minute=requests_per_minute,
            max_retries=int(max_retries),
            top_logprobs=int(top_logprobs),
        )
        self._folder = None if ledger else tempfile.TemporaryDirectory(prefix="lang1-ledger-")
        path = Path(ledger) if ledger else Path(self._folder.name) / "ledger.jsonl"  # type: ignore[union-attr]
        client, kept = ServedClient(served), Ledger(path)
        own = PromptTokenizer(Path(tokenizer))
        self.abilities = find_abilities(client, PROBED_LETTERS, own)
        self._paid = PaidAnswers(client, kept, paid_under(self.abilities, own))
        if self.abilities.prompt_form != "token_ids":
            raise ServedError(
                f"{client.where}: takes no prompts as token ids, which the harness sends; use score_served"
            )

    def _loglikelihood_tokens(self, requests: Sequence[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        """(log-probability, whether it is the likeliest) of each request's option; requests with one prompt go together."""
        self._check_lengths(requests)
        # By option too: the same questions in another order are then the same in the ledger.
        order = sorted(range(len(requests)), key=lambda number: requests[number][1:])
        groups = [
            (tuple(prompt), tuple((number, tuple(requests[number][2])) for number in numbers))
            for prompt, numbers in groupby(order, key=lambda number: requests[number][1])
        ]
        answers = ask_all(lambda group: self._options(*group), groups, self._paid.client)
        found = {number: answer for group in answers for number, answer in group.items()}
        return [found[number] for number in range(len(requests))]

    def _check_lengths(self, requests: Sequence[Any]) -> None:
        longest = max((len(prompt) + len(option) for _, prompt, option in requests), default=0)
        if longest > self.max_length:
            raise ServedError(
                f"a prompt of {longest} tokens does not fit max_length {self.max_length}; the harness would cut off the head "
                "of the note: raise max_length to the model's context, or write the tasks with fewer note_tokens"
            )

    def _options(self, prompt: tuple[int, ...], options: tuple[Option, ...]) -> dict[int, tuple[float, bool]]:
        if prompt and self.abilities.rescue == "forced" and all(len(ids) == 1 for _, ids in options):
            return self._letters(prompt, options)
        return {number: self._read_back(prompt, ids) for number, ids in options}

    def _letters(self, prompt: tuple[int, ...], options: tuple[Option, ...]) -> dict[int, tuple[float, bool]]:
        """Of options that are one token each."""
        letter_ids = [ids[0] for _, ids in options]
        names = [self.tokenizer.decode([token]).strip() for token in letter_ids]
        found = CompletionsScorer(self._paid, names, letter_ids, self.abilities).logprobs(prompt)
        result = {}
        for (number, _), value in zip(options, found.values, strict=True):
            if value is None:
                raise ServedError(f"request {number}: the server gives no log-probability of its option")
            result[number] = (value, found.best is not None and value >= found.best)
        return result

    def _read_back(self, prompt: tuple[int, ...], option: tuple[int, ...]) -> tuple[float, bool]:
        """Of an option of any length: the prompt with it at its end is read back."""
        body = {"model": self.model, **self.abilities.echo(prompt + option[:-1], "", option[-1])}
        last = len(prompt) + len(option)
        held = self._paid.ask("completions", body, lambda answer: option_likelihood(answer, len(prompt), last), ())
        return held["logprob"], held["likeliest"]

    def model_call(self, messages: Any, *, generate: bool = True, gen_kwargs: Any = None, **kwargs: Any) -> Body:
        """Generations go through the same client; they are not kept."""
        body = self._create_payload(
            self.create_message(messages),
            generate=generate,
            gen_kwargs=dict(gen_kwargs or {}),
            seed=self._seed,
            eos=self.eos_string,
        )
        return self._paid.client.post("completions", body)

    async def amodel_call(self, *args: Any, **kwargs: Any) -> Any:
        raise ServedError("requests at once are made by the client itself (num_concurrent)")


def option_likelihood(answer: Body, start: int, end: int) -> Body:
    """Sum of the log-probabilities of the tokens in [start, end) of a prompt that was read back.

    Raises:
        ServedError: it was not read back, as llama.cpp does not.
    """
    total, likeliest = 0.0, True
    for position in range(start, end):
        try:
            own, top = token_at(answer, position)
        except RedrawError:
            raise ServedError(
                "the server does not read prompts back (echo), which options of several tokens need; serve the model with vLLM"
            ) from None
        total += own.logprob
        likeliest = likeliest and all(own.logprob >= entry.logprob for entry in top)
    return {"logprob": total, "likeliest": likeliest}
