"""The whole of a profile."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from lang1_assets.ops.tasks import REMEDE, Task, read_own_tasks
from lang1_assets.settings.analyze import Analyze
from lang1_assets.settings.cohorts import Cohorts
from lang1_assets.settings.corpus import Cleaning, Corpora, Shards, TokenizerSource
from lang1_assets.settings.drift import Drift
from lang1_assets.settings.launch import Launch
from lang1_assets.settings.models import ModelName, OutsideModel
from lang1_assets.settings.operate import Operate
from lang1_assets.settings.retention import Retention
from lang1_assets.settings.section import PositiveInt, Section
from lang1_assets.settings.serve import Serve
from lang1_assets.settings.sources import Source, TextSource, WebText
from lang1_assets.settings.study import ELSEWHERE_RECIPES, Study
from lang1_assets.settings.training import CORPORA, Finetune, Lora, Model, Pretrain, Variant


class Evaluate(Section):
    max_examples: PositiveInt = 100_000
    """Notes of each task and split that are scored, chosen by a seeded hash."""
    batch_size: PositiveInt = 32
    num_resamples: PositiveInt = 1_000
    """Bootstrap resamples behind each interval (paper 5.5)."""
    transfer: bool = True
    """Whether a model finetuned on one task is scored on the others too (Fig. 5a), of variants that `joint` is asked of as well:
    the figure compares the two."""
    trajectory_examples: PositiveInt = 2_000
    """Notes of each task on which every checkpoint of the trajectory is scored zero-shot (Fig. 3b)."""
    trajectory_questions: PositiveInt = 1_000
    """Comprehension questions of each file that every checkpoint is asked (Fig. 3a)."""


class Memorization(Section):
    """What a model has by heart of its training text, for each checkpoint."""

    prompt_tokens: PositiveInt = 50
    """Tokens of a text that the model is given (Carlini et al. 2023)."""
    continuation_tokens: PositiveInt = 50
    """Tokens that it must go on with, each of them."""
    num_sequences: PositiveInt = 1_000
    """Texts of training, and held-out ones."""


class Settings(Section):
    """One profile, read and validated."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    description: str
    seed: int = 3407
    source: Source = Source()
    web_text: WebText = WebText()
    text_sources: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], TextSource] = {}
    """Any number of corpora of text beside the web text, by name; each has assets of its own."""
    cohorts: Cohorts = Cohorts()
    corpora: Corpora = Corpora()
    cleaning: Cleaning = Cleaning()
    tokenizer: TokenizerSource = TokenizerSource()
    shards: Shards = Shards()
    model: Model
    pretrain: Pretrain
    finetune: Finetune
    evaluate: Evaluate = Evaluate()
    analyze: Analyze = Analyze()
    models: dict[ModelName, OutsideModel] = {}
    """Models from elsewhere that are scored beside the project's own (M36, M41, M42), by name."""
    memorization: Memorization = Memorization()
    study: Study = Study()
    elsewhere: str | None = None
    """Another hospital: name or path of the profile that reads its records (figures 5b, M10, M11)."""
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    operate: Operate = Operate()
    drift: Drift = Drift()
    retention: Retention = Retention()
    tasks_folder: Path | None = None
    """Folder of a hospital's own tasks, one YAML file each (docs/remede-tasks.md)."""
    launch: Launch = Launch()
    serve: Serve = Serve()

    @model_validator(mode="after")
    def _own_tasks_are_right(self) -> Settings:
        # These name assets: cohort_NAME, finetuned_NAME, NAME_evaluation.
        taken = sorted(
            {
                "joint",
                "tables",
                "counts",
                "timing",
                "attrition",
                "zero_shot",
                "outside",
                "baseline",
                "served",
                "landed",
                "trajectory",
            }
            & set(self.own_tasks)
        )
        if taken:
            raise ValueError(
                f"tasks_folder: an own task is called '{taken[0]}', which names something else; choose another name"
            )
        asked = {"finetune.recipes": self.finetune.recipes}
        asked |= {f"study.finetuned.{variant}": recipes for variant, recipes in self.study.finetuned.items()}
        for place, recipes in asked.items():
            # Those of another hospital are left out where there is none.
            unknown = [recipe for recipe in recipes if recipe not in (*self.recipes, *ELSEWHERE_RECIPES)]
            if unknown:
                raise ValueError(f"{place}: no recipe {', '.join(unknown)}; known: {', '.join(self.recipes)}")
        return self

    @model_validator(mode="after")
    def _study_is_of_what_there_is(self) -> Settings:
        for place in ("finetuned", "scaled"):
            unknown = sorted(set(getattr(self.study, place)) - set(self.variants))
            if unknown:
                raise ValueError(f"study.{place}.{unknown[0]}: no such variant; known: {', '.join(self.variants)}")
        if self.study.scaled_task not in (*REMEDE, *self.own_tasks):
            raise ValueError(f"study.scaled_task: no task {self.study.scaled_task}")
        return self

    @model_validator(mode="after")
    def _variants_have_shapes(self) -> Settings:
        for key in self.variants:
            for section, of_variant in (("model", self.shape_of), ("pretrain", self.pretrain_of)):
                try:
                    of_variant(key)
                except ValueError as error:
                    raise ValueError(f"variants.{key}.{section}: {error}") from None
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.finetune.note_tokens >= self.model.context_length:
            raise ValueError(
                f"finetune.note_tokens {self.finetune.note_tokens} leaves no room for the question in "
                f"model.context_length {self.model.context_length}; lower it"
            )
        asked = self.memorization.prompt_tokens + self.memorization.continuation_tokens
        if asked > self.model.context_length:
            raise ValueError(
                f"memorization.prompt_tokens and continuation_tokens are {asked} together, more than model.context_length "
                f"{self.model.context_length}; lower them"
            )
        for key in self.variants:
            # These keys are Dagster partitions and folders; Dagster accepts ',' '...' and '|' and then misreads them.
            if not key.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"variants.{key}: use letters, digits, '-' and '_' only")
        return self

    @model_validator(mode="after")
    def _models_have_names_of_their_own(self) -> Settings:
        taken = sorted(set(self.models) & set(self.variants))
        if taken:
            raise ValueError(f"models.{taken[0]}: a variant has the same name; choose another one")
        return self

    @model_validator(mode="after")
    def _start_has_its_tokenizer(self) -> Settings:
        if self.pretrain.start_from is not None and self.tokenizer.kind != "path":
            raise ValueError(
                f"pretrain.start_from needs the checkpoint's own tokenizer, but tokenizer.kind is '{self.tokenizer.kind}'; set "
                f"tokenizer: {{kind: path, path: {self.pretrain.start_from}}}"
            )
        return self

    @model_validator(mode="after")
    def _corpora_known(self) -> Settings:
        # These name assets: NAME_text and NAME_tokens.
        taken = sorted({*CORPORA, "web"} & set(self.text_sources))
        if taken:
            raise ValueError(f"text_sources.{taken[0]}: the name is taken; choose another one")
        for key, variant in self.variants.items():
            unknown = sorted(set(variant.mixture) - set(self.corpus_names))
            if unknown:
                raise ValueError(
                    f"variants.{key}.mixture names {', '.join(unknown)}; known: {', '.join(self.corpus_names)}. Correct "
                    f"the name, or say where the text is with text_sources.{unknown[0]}.path"
                )
        return self

    @cached_property
    def own_tasks(self) -> dict[str, Task]:
        """Those of `tasks_folder`, by name."""
        return {} if self.tasks_folder is None else read_own_tasks(self.tasks_folder)

    @property
    def recipes(self) -> tuple[str, ...]:
        """Everything that a variant can be finetuned on."""
        there = ELSEWHERE_RECIPES if self.elsewhere is not None else ()
        return ("joint", *REMEDE, *self.own_tasks, *there)

    def shape_of(self, variant: str) -> Model:
        """The sizes of one variant; those of a folder are its own, and this says nothing of them."""
        return Model(**{**self.model.model_dump(), **self.variants[variant].model})

    def pretrain_of(self, variant: str) -> Pretrain:
        return Pretrain(**{**self.pretrain.model_dump(), **self.variants[variant].pretrain})

    def lora_of(self, variant: str) -> Lora | None:
        own = self.variants[variant]
        # Adapters for every variant are for every decoder: an encoder's few weights all learn.
        return own.lora or (self.finetune.lora if own.architecture == "decoder" else None)

    @property
    def corpus_names(self) -> tuple[str, ...]:
        """Everything that a variant can mix."""
        return (*CORPORA, *self.text_sources)

    @property
    def main_variant(self) -> str:
        """The variant that the demo trains: the first one."""
        return next(iter(self.variants))

    @property
    def plants_canaries(self) -> bool:
        plant = self.corpora.canaries.plant
        return self.is_synthetic if plant is None else plant

    @property
    def is_synthetic(self) -> bool:
        return self.source.kind == "embedded"
