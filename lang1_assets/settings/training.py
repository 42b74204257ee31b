"""The shape of a decoder, and how it is pretrained and finetuned (paper 5.3, 5.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lang1_assets.ops.tasks import REMEDE
from lang1_assets.settings.section import Fraction, NotNegative, PositiveInt, Section

RECIPES = ("joint", *REMEDE)
"""Those that every profile has; each own task adds one."""
CORPORA = ("notes", "notes_plus", "web_text")
"""The corpora that every profile has; `text_sources` adds to them."""


class Model(Section):
    """A Llama-style decoder."""

    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    context_length: PositiveInt
    """Tokens."""
    tie_word_embeddings: bool = False
    rms_norm_eps: float = 1e-5
    initializer_range: Fraction = 0.02
    """Standard deviation of the random weights. 0.02 suits widths of a thousand; a narrow model learns sooner from more."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Model:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of num_key_value_heads "
                f"{self.num_key_value_heads}"
            )
        return self


class Training(Section):
    """What pretraining and finetuning share."""

    global_batch_size: PositiveInt
    """Sequences in one optimizer step, over all ranks and accumulations."""
    micro_batch_size: PositiveInt
    """Sequences in one forward pass of one rank."""
    learning_rate: Annotated[float, Field(gt=0)]
    min_learning_rate: NotNegative = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    betas: tuple[float, float]
    eps: float
    weight_decay: NotNegative
    gradient_clipping: NotNegative = 0.0
    """Largest gradient norm; 0 clips nothing."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    precision: Literal["fp32", "bf16"] = "bf16"
    compile: bool = False
    activation_checkpointing: bool = False
    """Compute each layer's forward pass again in the backward pass: a third slower, for what does not fit otherwise."""
    num_cpu_ranks: PositiveInt = 2
    """Ranks when the machine has no GPU; with GPUs there is one rank for each."""
    validate_every_steps: PositiveInt
    save_every_steps: PositiveInt
    """Steps between the checkpoints from which an interrupted run goes on."""
    keep_last: Annotated[int, Field(ge=2)] = 2
    """Of those checkpoints, how many stay; 2 at least, so that there is one before a damaged one. The newest that is known to be
    stable stays as well, and the trajectory is kept whole."""
    log_every_steps: PositiveInt = 10

    @model_validator(mode="after")
    def _batches_fit(self) -> Training:
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} is not a multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}")
        return self


def check_warmup(warmup_steps: int, max_steps: int) -> None:
    if warmup_steps >= max_steps:
        raise ValueError(f"warmup_steps {warmup_steps} must be below max_steps {max_steps}")


class Pretrain(Training):
    """Paper section 5.3; from an existing checkpoint, continual pretraining (M70)."""

    max_steps: PositiveInt | Literal["one_epoch"]
    """`one_epoch` ends where the scarcest corpus, by its weight in the mixture, has been read once: no text comes twice."""
    warmup_share: Fraction | None = None
    """Part of all steps, in the place of `warmup_steps`."""
    start_from: Path | None = None
    """A Hugging Face folder of a Llama-like causal model, safetensors only, to go on from instead of random weights. `model`
    is then taken from it where the profile says nothing (`model: null` drops what a profile extends)."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: NotNegative = 0.1
    gradient_clipping: NotNegative = 1.0
    checkpoint_tokens: PositiveInt
    """Tokens between two checkpoints of the trajectory."""
    suspect_steps: PositiveInt = 100
    """After a loss spike, what lies this many steps before it is trusted: the run goes back to a checkpoint at least so old,
    and leaves out the data since then. PaLM went back about 100 steps."""
    validation_windows: PositiveInt = 64
    """Held-out windows of each source on which loss and perplexity are measured."""
    monitor_every_steps: PositiveInt | None = 1_000
    """Steps between two looks at few-shot AUROC, comprehension and generations (5.3); null never looks."""
    monitor_shots: Annotated[int, Field(ge=0)] = 2
    """Answered training notes in front of each prompt; fewer where the context has no room."""
    monitor_examples: PositiveInt = 200
    """Validation notes of each task, and questions."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Pretrain:
        if self.warmup_share is not None and self.warmup_steps:
            raise ValueError(
                f"warmup_share {self.warmup_share} and warmup_steps {self.warmup_steps} are both given; set one of them to "
                "null or 0"
            )
        if self.max_steps != "one_epoch":
            check_warmup(self.warmup_steps, self.max_steps)
        return self


class Search(Section):
    """The learning rate search before a full finetuning (paper 5.4)."""

    num_trials: Annotated[int, Field(ge=0)] = 5
    """0 skips the search and takes `learning_rate`."""
    max_steps: PositiveInt = 100
    low: Annotated[float, Field(gt=0)] = 1e-6
    high: Annotated[float, Field(gt=0)] = 1e-3

    @model_validator(mode="after")
    def _ordered(self) -> Search:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class Lora(Section):
    """Low-rank adapters instead of all weights (appendix I, M34)."""

    rank: PositiveInt = 8
    alpha: PositiveInt = 16
    dropout: Fraction = 0.05
    modules: Annotated[tuple[str, ...], Field(min_length=1)] = ("q_proj", "v_proj")
    """Projections that get an adapter; everything else is frozen."""


class Finetune(Training):
    """Paper section 5.4."""

    max_steps: PositiveInt
    """Of a recipe with one task; the joint recipe's are as many times more as it has tasks."""
    max_epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over its notes after which a run ends, where that is sooner; null is the paper's letter."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-5
    weight_decay: NotNegative = 0.02
    recipes: tuple[str, ...] = ("joint",)
    """What the demo finetunes and the report compares; the others stay one click away."""
    note_tokens: PositiveInt = 512
    """A longer note is cut on the right; the question is always whole."""
    patience_steps: PositiveInt = 300
    """Steps without a better micro-AUROC on validation before stopping."""
    validation_examples: PositiveInt = 2_000
    """Validation notes of each task that early stopping looks at."""
    search: Search = Search()
    lora: Lora | None = None
    """Null trains all weights; `{}` are the paper's adapters. A variant may have its own."""

    @model_validator(mode="after")
    def _warmup_fits(self) -> Finetune:
        check_warmup(self.warmup_steps, self.max_steps)
        return self


class Variant(Section):
    """One base to finetune: pretrained here on a data mix, made elsewhere, or the control with random weights."""

    mixture: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Sampling weight of each corpus; equal numbers mean equal sampling."""
    random_weights: bool = False
    """The control: initialised, never trained."""
    folder: Path | None = None
    """A Hugging Face causal model made elsewhere (M36): safetensors only, its own tokenizer, no code from the folder."""
    architecture: Literal["decoder", "encoder"] = "decoder"
    """`encoder`: masked-token pretraining and a classification head, the control of Fig. D4 (M27)."""
    model: dict[str, Any] = {}
    """Fields of the profile's `model` in which this variant differs: another size (M56)."""
    pretrain: dict[str, Any] = {}
    """Fields of the profile's `pretrain` in which it differs: another learning rate, say."""
    lora: Lora | None = None
    """In the place of `finetune.lora`: for a model too large to train whole."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Variant:
        if [bool(self.mixture), self.random_weights, self.folder is not None].count(True) != 1:
            raise ValueError(
                "give one of: a mixture with at least one corpus, random_weights: true, a folder of a model made elsewhere"
            )
        if self.folder is not None and (self.model or self.pretrain or self.architecture == "encoder"):
            raise ValueError(
                "a model from a folder is as it is; remove model, pretrain and architecture, which are of those made here"
            )
        return self
