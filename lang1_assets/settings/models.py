"""Models from elsewhere that are scored on the benchmark beside the project's own (M36, M41, M42)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from lang1_assets.ops.served.addresses import LOOPBACK, address_of, check_allowed, parse_entry
from lang1_assets.ops.served.errors import AddressError
from lang1_assets.ops.served.model import GREEDY, Sampling, ServedModel
from lang1_assets.settings.section import PositiveInt, Section

PositiveNumber = Annotated[float, Field(gt=0)]


class Outside(Section):
    """What all of them say."""

    max_examples: PositiveInt | None = None
    """Notes of each task that are scored, for cost; never more than `evaluate.max_examples`, and the first of the same order, so
    that every model has them in common."""
    note_tokens: PositiveInt | None = None
    """Tokens of each note, where a model's context or tokenizer has no room for `finetune.note_tokens`. With fewer it sees
    less than the others, and the leaderboard says so."""


class FolderModel(Outside):
    """A Hugging Face folder with a causal language model: safetensors only, no code from the folder."""

    kind: Literal["folder"]
    path: Path


class AdapterModel(Outside):
    """A PEFT adapter on a base model."""

    kind: Literal["adapter"]
    path: Path
    """Folder of the adapter: `adapter_config.json` and `adapter_model.safetensors`."""
    base: Path
    """Folder of the model that it was trained on. What the adapter's own configuration names is not looked at."""


class UntrainedModel(Outside):
    """A control: random weights in the shape of a profile's model, with this profile's tokenizer."""

    kind: Literal["untrained"]
    profile: str
    """Name or path of the profile whose `model` is the shape."""
    seed: int = 3407

    @field_validator("profile")
    @classmethod
    def _is_there(cls, profile: str) -> str:
        # Here, because reading a profile is what imports this module.
        from lang1_assets.settings.reading import profile_path

        if not profile_path(profile).is_file():
            raise ValueError(
                f"no profile '{profile}'; give the name of one that ships with the project, or a path to a .yaml"
            )
        return profile


class Served(Outside):
    """What both kinds of served models say: where, as whom, how fast."""

    url: str
    """Up to the version, as `http://gpu-7:8000/v1`; the endpoint's name is added. A query (`?api-version=...`) is kept."""
    name: str
    """What the server calls the model."""
    version: str = ""
    """Change it when the server has other weights under the same name: answers that were paid for are then asked anew."""
    tokenizer: Path | None = None
    """Folder of the model's tokenizer. With it, notes are cut in its tokens and prompts are sent as its ids, exactly as for
    the project's own models. Without, notes are cut in the tokens of the profile's own tokenizer and sent as text."""
    allowed_addresses: tuple[str, ...] = (LOOPBACK,)
    """`host:port` of each address that may receive notes; `loopback` is any port of this machine. Checked on every request
    where it leaves; redirects are not followed."""
    proxy: str | None = None
    """URL of a proxy, which must be an allowed address too, because it reads what is sent by http. Proxies that the
    environment names are ignored."""
    certificate_authority: Path | None = None
    """PEM file of the hospital's own certificate authority, for https."""
    api_key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that holds the API key. Never the key itself."""
    api_key_file: Path | None = None
    """Or a file that holds it."""
    api_key_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] = "Authorization"
    """Azure wants `api-key`."""
    connect_timeout_seconds: PositiveNumber = 10.0
    answer_timeout_seconds: PositiveNumber = 120.0
    """For the whole of an answer."""
    max_concurrent: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests on their way at once; also the most that a crash can cost a second time."""
    requests_per_minute: PositiveNumber | None = None
    max_retries: Annotated[int, Field(ge=0)] = 8
    """Further attempts after a timeout, a dropped connection, half an answer, or status 408, 425, 429 or 5xx."""
    longest_wait_seconds: PositiveNumber = 300.0
    """Before another attempt, whatever the server asks for."""
    extra: dict[str, Any] = {}
    """Fields of the request beside the usual ones, over which they win; null takes one out."""

    @field_validator("url", "proxy")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is not None:
            address_of(url)
        return url

    @field_validator("allowed_addresses")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            if entry != LOOPBACK:
                parse_entry(entry)
        return entries

    @model_validator(mode="after")
    def _reachable(self) -> Served:
        for url in (self.url, self.proxy):
            try:
                if url is not None:
                    check_allowed(*address_of(url), self.allowed_addresses)
            except AddressError as error:
                raise ValueError(str(error)) from None
        if self.api_key_variable is not None and self.api_key_file is not None:
            raise ValueError("api_key_variable and api_key_file are both given; remove one")
        return self

    @property
    def served_model(self) -> ServedModel:
        """What `ops.served` is given."""
        fields = ServedModel.__dataclass_fields__
        values = {name: value for name, value in self if name in fields}
        return ServedModel(api="chat" if isinstance(self, ChatModel) else "completions", **values)


class CompletionsModel(Served):
    """An OpenAI-compatible server whose /completions gives log-probabilities: vLLM, llama.cpp, SGLang, ..."""

    kind: Literal["completions"]
    top_logprobs: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Most likely tokens that are asked for; vLLM gives up to `--max-logprobs`. Letters that are not among them are asked for
    by themselves."""


class ChatModel(Served):
    """An OpenAI-compatible server that gives answers and no log-probabilities: they are sampled (appendix J)."""

    kind: Literal["chat"]
    max_answer_tokens: PositiveInt = 16
    """A model that thinks before it answers needs thousands."""
    instruction: str | None = "Answer with the letter of one option and nothing else."
    """A system message in front of each prompt; null sends the prompt alone."""
    num_samples: PositiveInt = 10
    temperature: PositiveNumber = 1.0
    max_examples: PositiveInt | None = 1_000
    """Notes of each task that are asked about, for cost; comorbidity is asked greedily about `greedy_examples`, and so are
    the others by number with null."""
    greedy_examples: PositiveInt = 10_000

    def sampling(self, task: str) -> Sampling:
        """How a task is asked: greedily for comorbidity, whose labels are so skewed that it needs more notes (appendix J)."""
        if task == "comorbidity":
            return replace(GREEDY, max_examples=self.greedy_examples)
        return Sampling(
            num_samples=self.num_samples,
            temperature=self.temperature,
            max_examples=self.max_examples or self.greedy_examples,
        )


ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""Names are Dagster partitions and folders."""
OutsideModel = Annotated[
    FolderModel | AdapterModel | UntrainedModel | CompletionsModel | ChatModel, Field(discriminator="kind")
]
MODEL_KINDS: dict[str, type[Section]] = {
    "folder": FolderModel,
    "adapter": AdapterModel,
    "untrained": UntrainedModel,
    "completions": CompletionsModel,
    "chat": ChatModel,
}
PATH_FIELDS = ("path", "base", "tokenizer", "certificate_authority", "api_key_file")
"""Relative ones belong to the profile that names them, as an untrained model's `profile` does where it is a path."""
