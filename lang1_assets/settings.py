"""What a run is: the typed, validated reading of one profile file. No torch here: the Dagster definitions import this.

A profile is YAML. `extends: other.yaml` takes everything from another profile and changes what it names, so a variant is
never a copied file; `extends: [lang1-1b, mimic-iii]` takes one after another. Relative paths are relative to the profile
that names them. Every problem in a profile is reported at once, each with its field, the value found and what was expected.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lang1_assets.ops.schemas import DEVELOPMENT_SPLITS, SPLITS
from lang1_assets.ops.tasks import TASKS

PROFILE_FOLDER = Path(__file__).parent / "profiles"
RECIPES = ("joint", *TASKS)
CORPORA = ("notes", "notes_plus", "web_text")

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]
Recipe = Literal["joint", "readmission", "mortality", "length_of_stay", "comorbidity", "insurance_denial"]
Corpus = Literal["notes", "notes_plus", "web_text"]


class SettingsError(ValueError):
    """A profile cannot be used; the message lists every problem found in it."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _require_path(section: Any, kind: str, what: str) -> Any:
    if section.kind == kind and section.path is None:
        raise ValueError(f"kind '{kind}' needs path: {what}")
    if section.kind != kind and section.path is not None:
        raise ValueError(f"path is given, but kind is '{section.kind}'; set kind: {kind} or remove the path")
    return section


class Source(Section):
    """Where the hospital's records come from."""

    kind: Literal["embedded", "tables", "mimic_iii", "mimic_iv", "omop", "fhir"] = "embedded"
    """`embedded`: the synthetic hospital that ships with the project. `tables`: files in the project's own columns.
    `mimic_iii`, `mimic_iv`, `omop`: files as those are distributed. `fhir`: a bulk export."""
    path: Path | None = None
    """Folder of the files (not for kind `embedded`, nor with `postgres_schema`)."""
    postgres_schema: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]*$")] | None = None
    """Schema of a PostgreSQL server that has the tables, instead of `path`. Where the server is comes from the
    environment: LANG1_POSTGRES_HOST, _PORT, _USER, _PASSWORD, _DATABASE."""
    remittances: Path | None = None
    """Folder of X12 835 files, from which claims come; their account numbers are the encounters' ids."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Encoding of CSV files; a row with bytes that are not of it is a reject."""
    minimum_plausible_date: date = date(1900, 1, 1)
    maximum_plausible_date: date = date(2100, 1, 1)
    """Dates outside [minimum, maximum) are rejects; widen for date-shifted records (MIMIC lies in 2100 - 2200)."""
    fhir_superseded_notes: Literal["drop_replaced", "drop", "keep"] = "drop_replaced"
    """FHIR notes called superseded: leave out those that another note replaces, all, or none."""
    fhir_time_zone: str | None = None
    """IANA name, such as America/New_York, for FHIR exports whose times are in UTC; otherwise the written clock counts."""
    num_encounters: PositiveInt = 45_000
    """Admissions that the embedded hospital simulates, 2003 to 2024."""
    dirt_rate: Annotated[float, Field(ge=0, le=0.2)] = 0.01
    """Share of rows that the embedded hospital spoils on purpose."""

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        places = [name for name in ("path", "postgres_schema") if getattr(self, name) is not None]
        if self.kind == "embedded" and places:
            raise ValueError(f"{places[0]} is given, but kind is 'embedded'; set the kind of the records or remove it")
        if self.kind != "embedded" and len(places) != 1:
            raise ValueError(f"kind '{self.kind}' needs either path (a folder of files) or postgres_schema")
        if self.kind == "fhir" and self.postgres_schema:
            raise ValueError("kind 'fhir' is read from files; give path")
        if self.minimum_plausible_date >= self.maximum_plausible_date:
            raise ValueError("minimum_plausible_date must lie before maximum_plausible_date")
        if self.fhir_time_zone is not None and self.fhir_time_zone not in available_timezones():
            raise ValueError(
                f"fhir_time_zone '{self.fhir_time_zone}' is not known; give a name such as America/New_York"
            )
        if self.postgres_schema and self.remittances:
            raise ValueError("remittances are read from files; leave them out or give path instead of postgres_schema")
        return self

    @property
    def sql_kind(self) -> str:
        """The kind as the SQL project calls it."""
        return "tables" if self.kind == "embedded" else self.kind

    @property
    def database(self) -> Literal["duckdb", "postgres"]:
        """Where the SQL runs."""
        return "postgres" if self.postgres_schema else "duckdb"


class WebText(Section):
    """Where the web text comes from."""

    kind: Literal["embedded", "slimpajama"] = "embedded"
    path: Path | None = None
    """Folder of `.jsonl.zst` or `.jsonl` files in the SlimPajama layout (kind `slimpajama` only)."""
    num_documents: PositiveInt = 6_000
    """Documents that the embedded source writes."""
    questions: Path | None = None
    """Comprehension questions: a Parquet file, or SciQ or PubMedQA JSON. The embedded source writes its own."""

    @model_validator(mode="after")
    def _path_when_needed(self) -> WebText:
        return _require_path(self, "slimpajama", "the folder with the .jsonl.zst files")


NoteChoice = Literal["first", "last", "all", "preferred"]
EncounterClass = Literal["inpatient", "emergency", "observation", "outpatient", "other"]
Hours = Annotated[int, Field(ge=0, le=876_000)]
"""Up to a hundred years."""
DateWindow = tuple[date, date]


def _check_windows(windows: Mapping[Any, Mapping[str, DateWindow]]) -> None:
    names = ("development", "temporal_2021", "temporal_2024")
    if set(windows) != {"inpatient", "insurance_denial"} or any(set(held) != set(names) for held in windows.values()):
        raise ValueError(
            "split_windows: give inpatient and insurance_denial, each with development, temporal_2021 and temporal_2024 as "
            "[first day, day after the last]"
        )
    for name, held in windows.items():
        edges = [day for split in names for day in held[split]]
        if edges != sorted(edges) or any(first == last for first, last in held.values()):
            raise ValueError(
                f"split_windows.{name}: each window must end after it begins, and before the next one begins"
            )


class Cohorts(Section):
    """Choices where the paper leaves room (sections 5.2.2, 5.2.3); the defaults are its letter."""

    stay_classes: Annotated[tuple[EncounterClass, ...], Field(min_length=1)] = ("inpatient",)
    """Encounter classes that are hospital stays, as index stays and as readmissions alike."""
    splits: Literal["calendar", "shares"] = "calendar"
    """`calendar`: development and temporal tests by discharge date. `shares`: one development set, for shifted dates."""
    split_windows: dict[Literal["inpatient", "insurance_denial"], dict[str, DateWindow]] = {
        "inpatient": {
            "development": (date(2013, 1, 1), date(2021, 6, 1)),
            "temporal_2021": (date(2021, 6, 1), date(2022, 1, 1)),
            "temporal_2024": (date(2024, 1, 1), date(2025, 1, 1)),
        },
        "insurance_denial": {
            "development": (date(2021, 5, 1), date(2022, 3, 1)),
            "temporal_2021": (date(2022, 3, 1), date(2022, 5, 1)),
            "temporal_2024": (date(2024, 1, 1), date(2024, 2, 1)),
        },
    }
    """Windows of the discharge date, last day excluded; the split `temporal_2021` or `temporal_2024` may lie in other years."""
    split_shares: dict[str, tuple[PositiveInt, PositiveInt, PositiveInt]] = {task: (80, 10, 10) for task in TASKS}
    """Percent of the development window in train, val and test."""
    split_by: Literal["note", "patient"] = "note"
    """The paper splits notes, because patients do come back to a deployed model (appendix L)."""
    hp_max_hours_before_admission: Hours = 720
    hp_max_hours_after_admission: Hours = 24
    """An H&P written outside these hours is not an admission note."""
    hp_when_several: NoteChoice = "first"
    """Which H&P stands for its stay; `preferred` follows the source's own order (MIMIC-III, 5.2.3)."""
    discharge_note_when_several: NoteChoice = "last"
    discharge_note_max_hours_after_discharge: Hours = 24
    """A discharge note signed later may already know what came next."""
    readmission_days: Annotated[int, Field(gt=0, le=3650)] = 30
    readmission_excluded_departments: tuple[str, ...] = ("Rehabilitation", "Dialysis", "Palliative Care")
    readmission_ignored_admission_types: tuple[str, ...] = ()
    """Admissions of these types are no readmissions: elective ones, say. All-cause by default."""
    readmission_minimum_gap_hours: Hours = 0
    """An admission within these hours of the discharge is a transfer and no readmission."""
    readmission_censored: Literal["drop", "keep"] = "drop"
    """Stays whose window ends after their follow-up does."""
    readmission_deaths_in_window: Literal["negative", "drop"] = "negative"
    """Patients who died at home within the window."""
    readmission_excludes_deaths: bool = True
    """Patients who died in hospital cannot return."""
    death_dispositions: Annotated[tuple[str, ...], Field(min_length=1)] = ("Expired",)
    denial_claim_statuses: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "final, adverse determination",
        "final, favorable determination",
    )
    unknown_claim_statuses: Literal["negative", "drop"] = "negative"
    """Claims with another status: negative (the paper), or dropped unless in `known_negative_claim_statuses`."""
    known_negative_claim_statuses: tuple[str, ...] = ("approved", "paid", "final, paid", "final, approved")
    length_of_stay_unit: Literal["calendar_days", "elapsed_days"] = "calendar_days"
    """Whole days between dates, or hours / 24 with the bins as upper bounds (MIMIC-III, 5.2.3)."""

    @field_validator("split_shares", mode="before")
    @classmethod
    def _other_tasks_keep_theirs(cls, value: Any) -> Any:
        return {**{task: (80, 10, 10) for task in TASKS}, **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _shares_add_up(self) -> Cohorts:
        missing = [f"{task} (no such task)" for task in self.split_shares if task not in TASKS]
        wrong = [task for task, shares in self.split_shares.items() if sum(shares) != 100]
        if missing or wrong:
            raise ValueError(
                f"split_shares: give three percentages that add up to 100 for {', '.join(missing + wrong)}"
            )
        if self.readmission_minimum_gap_hours >= 24 * self.readmission_days:
            raise ValueError("readmission_minimum_gap_hours leaves nothing of readmission_days; lower it")
        both = {text.lower() for text in self.denial_claim_statuses} & {
            text.lower() for text in self.known_negative_claim_statuses
        }
        if both:
            raise ValueError(
                f"denial_claim_statuses and known_negative_claim_statuses both hold {', '.join(sorted(both))}"
            )
        _check_windows(self.split_windows)
        return self

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that a cohort has."""
        return SPLITS if self.splits == "calendar" else DEVELOPMENT_SPLITS

    @property
    def test_splits(self) -> tuple[str, ...]:
        return self.split_names[2:]

    @property
    def headline_split(self) -> str:
        """The test on which results are compared: the latest one."""
        return self.split_names[-1]


class Cleaning(Section):
    """Paper section 5.1."""

    min_words: PositiveInt = 10
    placeholders: tuple[str, ...] = ("<NA>", "NULL", "[pending]")
    partition_rows: PositiveInt = 25_000
    """Notes a Dask task holds in memory."""
    num_workers: PositiveInt = 2
    scheduler_address: str | None = None
    """A running Dask scheduler, such as tcp://dask:8786. Without one, processes on this machine."""


class Corpora(Section):
    """Which notes models are pretrained on (paper 5.2.1, M03); a window is [first day, last day)."""

    notes_types: tuple[str, ...] = ("hp", "discharge", "progress")
    notes_window: DateWindow | None = (date(2011, 1, 1), date(2020, 6, 1))
    """Inpatient hospital notes, January 2011 to May 2020; null takes every date, for shifted ones."""
    notes_plus_window: DateWindow | None = (date(2003, 1, 1), date(2024, 1, 1))
    """Hospital, pathology and radiology notes, 2003 to 2023."""
    hold_out_test_stays: bool = True
    """Leave out every note of the stays that the latest test is about: also those written before its first day."""


class TokenizerSource(Section):
    """Llama-2's SentencePiece from a path, or one trained on the corpus."""

    kind: Literal["train", "path"] = "train"
    path: Path | None = None
    vocab_size: Annotated[int, Field(ge=512, le=1_000_000)] = 32_000
    """Pieces, when trained. A tokenizer from a path brings its own."""
    train_documents: PositiveInt = 20_000
    """Documents the tokenizer is trained on, clinical and web in equal numbers."""

    @model_validator(mode="after")
    def _path_when_needed(self) -> TokenizerSource:
        return _require_path(self, "path", "a folder or file with a Llama-2 tokenizer")


class Shards(Section):
    val_fraction: Fraction = 0.001
    """Documents held out for validation (paper 5.3: 0.1 %)."""
    shard_tokens: PositiveInt = 100_000_000
    num_workers: PositiveInt = 2


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
    max_steps: PositiveInt
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
    num_cpu_ranks: PositiveInt = 2
    """Ranks when the machine has no GPU; with GPUs there is one rank for each."""
    validate_every_steps: PositiveInt
    save_every_steps: PositiveInt
    """Steps between the checkpoints from which an interrupted run goes on."""
    log_every_steps: PositiveInt = 10

    @model_validator(mode="after")
    def _batches_fit(self) -> Training:
        if self.global_batch_size % self.micro_batch_size:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} is not a multiple of micro_batch_size "
                f"{self.micro_batch_size}"
            )
        if self.warmup_steps >= self.max_steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be below max_steps {self.max_steps}")
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}")
        return self


class Pretrain(Training):
    """Paper section 5.3."""

    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: NotNegative = 0.1
    gradient_clipping: NotNegative = 1.0
    checkpoint_tokens: PositiveInt
    """Tokens between two checkpoints of the trajectory."""
    validation_windows: PositiveInt = 64
    """Held-out windows of each source on which loss and perplexity are measured."""


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


class Finetune(Training):
    """Paper section 5.4. For the joint recipe, `max_steps` is multiplied by the number of tasks."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-5
    weight_decay: NotNegative = 0.02
    recipes: tuple[Recipe, ...] = ("joint",)
    """What the demo finetunes and the report compares; the others stay one click away."""
    note_tokens: PositiveInt = 512
    """A longer note is cut on the right; the question is always whole."""
    patience_steps: PositiveInt = 300
    """Steps without a better micro-AUROC on validation before stopping."""
    validation_examples: PositiveInt = 2_000
    """Validation notes of each task that early stopping looks at."""
    search: Search = Search()


class Evaluate(Section):
    max_examples: PositiveInt = 100_000
    """Notes of each task and split that are scored, chosen by a seeded hash."""
    batch_size: PositiveInt = 32
    num_resamples: PositiveInt = 1_000
    """Bootstrap resamples behind each interval (paper 5.5)."""
    transfer: bool = True
    """Whether a model finetuned on one task is scored on the others too (Fig. 5a)."""


class Variant(Section):
    """One pretrained model: a data mix, or the control with random weights."""

    mixture: dict[Corpus, Annotated[float, Field(gt=0)]] = {}
    """Sampling weight of each corpus; equal numbers mean equal sampling."""
    random_weights: bool = False
    """The control: initialised, never trained."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Variant:
        if self.random_weights == bool(self.mixture):
            raise ValueError("give either a mixture with at least one corpus, or random_weights: true")
        return self


class Operate(Section):
    """New dated exports (M63)."""

    landing: Path | None = None
    """Folder that receives dated exports, one folder named YYYY-MM each; default $LANG1_HOME/landing."""
    earliest: date = date(2025, 1, 1)
    """Exports dated before this are history, not news."""


class Settings(Section):
    """One profile, read and validated."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    description: str
    seed: int = 3407
    source: Source = Source()
    web_text: WebText = WebText()
    cohorts: Cohorts = Cohorts()
    corpora: Corpora = Corpora()
    cleaning: Cleaning = Cleaning()
    tokenizer: TokenizerSource = TokenizerSource()
    shards: Shards = Shards()
    model: Model
    pretrain: Pretrain
    finetune: Finetune
    evaluate: Evaluate = Evaluate()
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    operate: Operate = Operate()

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.finetune.note_tokens >= self.model.context_length:
            raise ValueError(
                f"finetune.note_tokens {self.finetune.note_tokens} leaves no room for the question in "
                f"model.context_length {self.model.context_length}; lower it"
            )
        for key in self.variants:
            # These keys are Dagster partitions and folders; Dagster accepts ',' '...' and '|' and then misreads them.
            if not key.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"variants.{key}: use letters, digits, '-' and '_' only")
        return self

    @property
    def main_variant(self) -> str:
        """The variant that the demo trains: the first one."""
        return next(iter(self.variants))

    @property
    def is_synthetic(self) -> bool:
        return self.source.kind == "embedded"


def lang1_home() -> Path:
    """Everything a run makes lies here: `$LANG1_HOME`, or `lang1_home` in the current folder."""
    return Path(os.environ.get("LANG1_HOME", "lang1_home")).resolve()


def profile_path(name_or_path: str) -> Path:
    """The file of a profile: a path, or the name of one that ships with the project, a source's part included."""
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path).resolve()
    part = PROFILE_FOLDER / "sources" / f"{name_or_path}.yaml"
    return part if part.exists() else PROFILE_FOLDER / f"{name_or_path}.yaml"


def load_settings(name_or_path: str | None = None) -> Settings:
    """Read and validate a profile; without an argument, the one that `$LANG1_PROFILE` names, else `tiny`.

    Raises:
        SettingsError: the file is missing, is not YAML, or holds problems; all of them are listed.
    """
    path = profile_path(name_or_path or os.environ.get("LANG1_PROFILE", "tiny"))
    values = _read_profile(path, seen=())
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(path, error)) from None


def _read_profile(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise SettingsError(f"{path}: 'extends' leads back to itself; remove it from one of the files")
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in PROFILE_FOLDER.rglob("*.yaml")))
        raise SettingsError(f"{path}: no such profile; give a path ending in .yaml or one of: {shipped}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: not a readable YAML file: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected a mapping of settings, found {type(values).__name__}")
    _absolute_paths(values, path.parent)
    parents = values.pop("extends", None) or []
    if not isinstance(parents, (str, list)):
        raise SettingsError(f"{path}: extends: expected profiles' names or paths, found {type(parents).__name__}")
    merged: dict[str, Any] = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        if not isinstance(parent, str):
            raise SettingsError(f"{path}: extends: expected profiles' names or paths, found {type(parent).__name__}")
        base = (path.parent / parent).resolve() if parent.endswith((".yaml", ".yml")) else profile_path(parent)
        merged = _merge(merged, _read_profile(base, (*seen, path)))
    return _merge(merged, values)


def _absolute_paths(values: dict[str, Any], folder: Path) -> None:
    for section, field in (
        ("source", "path"),
        ("source", "remittances"),
        ("web_text", "path"),
        ("web_text", "questions"),
        ("tokenizer", "path"),
        ("operate", "landing"),
    ):
        held = values.get(section)
        if isinstance(held, dict) and isinstance(held.get(field), str):
            held[field] = str((folder / Path(held[field]).expanduser()).resolve())


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings are merged; `variants` and anything else is replaced whole."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "variants"
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _explain(path: Path, error: ValidationError) -> str:
    problems = [_explain_one(item) for item in error.errors(include_url=False)]
    return f"{path}: {len(problems)} problem(s)\n" + "\n".join(f"  - {problem}" for problem in problems)


def _explain_one(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "profile"
    if item["type"] == "extra_forbidden":
        known = _fields_at(item["loc"][:-1])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        return f"{where}: unknown setting" + (f"; did you mean '{close[0]}'?" if close else f"; known: {known}")
    if item["type"] == "missing":
        return f"{where}: missing; it has no default"
    message = item["msg"].removeprefix("Value error, ")
    return (
        f"{where}: {message} (found {item['input']!r})"
        if not isinstance(item["input"], dict)
        else f"{where}: {message}"
    )


def _fields_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = Settings
    for part in location:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = field.annotation if field else next((a for a in get_args(model) if hasattr(a, "model_fields")), Variant)
    return sorted(getattr(model, "model_fields", {}))
