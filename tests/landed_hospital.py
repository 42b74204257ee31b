"""A hospital that sends small exports, and the runs that its sensor asks for, with the slow parts replaced on demand."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.evaluation import scored
from lang1_assets.months import arrive, label_landed, land, landed, operate
from lang1_assets.ops import schemas
from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.landing.arrivals import Settling, arrivals, read
from lang1_assets.ops.landing.manifest import Manifest, write_manifest
from lang1_assets.ops.landing.months import first_day
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, EXPORT
from lang1_assets.ops.tasks import REMEDE, TASKS
from lang1_assets.resources.store import Artifact, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings

VARIANT = "lang1-tiny-notesplus-webtexts"
WORDS = "the patient was seen on the ward and is well after a short course of treatment"


class LandedHospital:
    """A landing folder, a store, an instance of Dagster; everything of one test."""

    def __init__(
        self, folder: Path, database: Path, recipes: Sequence[str] = ("joint",), insurance_denial_days: int = 0
    ) -> None:
        tiny = load_settings("tiny")
        self.landing = folder / "landing"
        operating = {
            "landing": str(self.landing),
            "recipes": tuple(recipes),
            "insurance_denial_days": insurance_denial_days,
        }
        self.settings: Settings = tiny.model_copy(
            update={
                "operate": tiny.operate.model_copy(update=operating),
                "evaluate": tiny.evaluate.model_copy(update={"num_resamples": 20}),
                "cleaning": tiny.cleaning.model_copy(update={"num_workers": 1}),
            }
        )
        self.store = ArtifactStore(root=str(folder / "artifacts"))
        self.tracking = Tracking(
            tracking_uri=f"sqlite:///{database}",
            ui_url="http://127.0.0.1:5000",
            artifact_root=str(folder / "mlflow"),
            dagster_url="http://127.0.0.1:3000",
        )
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None
        self.made: Counter[str] = Counter()
        """How often each slow part was really done."""

    def land(self, month: str, mark: str = "", manifest: bool = True, **tables: str) -> Manifest | None:
        """An export of two stays; `mark` makes its content another."""
        folder = self.landing / month
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**export_tables(month, mark), **tables}.items():
            (folder / f"{name}.csv").write_text(text)
        return write_manifest(folder, month) if manifest else None

    def put_in_service(self, model: str, recipe: str = "joint") -> Artifact:
        """A model that has been evaluated on the latest test."""

        def write(work: Path) -> dict[str, Any]:
            (work / "model").mkdir(exist_ok=True)
            (work / "model" / "weights").write_text(model)
            row = {"metric": "auroc", "split": self.settings.cohorts.headline_split, "task": "mortality"}
            (work / "rows.json").write_text(json.dumps([row | {"value": 0.8, "low": 0.75, "high": 0.85}]))
            return {"variant": VARIANT, "recipe": recipe, "fingerprint": model}

        return self.store.build(f"{landed.IN_SERVICE}/{recipe}", write, parameters={"model": model})

    def tick(self, now: float = 0, attempts: float = 3) -> arrive.Tick:
        found = arrive.tick(
            self.instance, self.store, self.settings, read(self.cursor), Settling(now=now, seconds=600), attempts
        )
        self.cursor = arrive.arrivals.written(found.seen)
        self.instance.add_dynamic_partitions("dated_exports", found.new_months)
        return found

    def run(self, request: dg.RunRequest, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
        """What the daemon would launch."""
        return self.job.execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection or []),
            tags={**request.tags, "dagster/run_key": request.run_key or ""},
            raise_on_error=raise_on_error,
        )

    @cached_property
    def job(self) -> dg.JobDefinition:
        resources = {"store": self.store, "tracking": self.tracking}
        service = dg.AssetSpec(landed.IN_SERVICE, partitions_def=dg.StaticPartitionsDefinition(["joint"]))
        stages = [asset for stage in (land, label_landed, operate) for asset in stage.build_assets(self.settings)]
        definitions = dg.Definitions(assets=[*stages, service], jobs=arrive.build_jobs(), resources=resources)
        return definitions.resolve_job_def(arrive.LANDED_JOB)

    def settle(self) -> list[str]:
        """Ticks and runs until nothing is left to do; the run keys, in order."""
        keys: list[str] = []
        for _ in range(20):
            found = self.tick()
            if not found.runs:
                return keys
            for request in found.runs:
                self.run(request, raise_on_error=False)
                keys.append(str(request.run_key))
        raise AssertionError("the work never ends")

    def cohorts(self, month: str) -> Mapping[str, Any]:
        return self.store.get(f"{COHORTS}/{month}").summary

    def export(self, month: str) -> Mapping[str, Any]:
        return self.store.get(f"{EXPORT}/{month}").summary

    def evaluation(self, month: str, recipe: str = "joint") -> Artifact:
        return self.store.get(f"{EVALUATION}/{month}/{recipe}")

    @property
    def outcome(self) -> dict[str, Any]:
        """What is there in the end, but for when it was made, as which revision, and how its files are dated."""
        taken = landed.taken_months(self.store)
        return {
            "taken": {month: one.key for month, one in taken.items()},
            "cohorts": {month: self.store.get(f"{COHORTS}/{month}").fingerprint for month in taken},
            "evaluations": {
                f"{month}/{recipe}": self.evaluation(month, recipe).fingerprint
                for month in taken
                for recipe in landed.evaluations_of(self.store, self.settings, month)
            },
        }

    def look(self, now: float = 0) -> dict[str, Any]:
        area = landed.landing_area(self.settings)
        return dict(arrivals(area, {}, {}, Settling(now=now, seconds=600), self.settings.operate.earliest))

    def replace_slow_parts(self, patch: pytest.MonkeyPatch, *, tracks: bool = False) -> None:
        """Cohorts without dbt and scores without a model: each a function of what it reads, and counted.

        Args:
            tracks: whether MLflow is told.
        """

        def make_cohorts(context: Any, settings: Any, exports: Sequence[Artifact], ripe: Any, work: Path) -> Any:
            month = exports[-1].name.rpartition("/")[2]
            self.made[f"cohorts {month}"] += 1
            told = {}
            for task in REMEDE:
                if task in ripe.unripe:
                    told[task] = label_landed.unripe(ripe.unripe[task])
                    continue
                frame = examples(month, task, str(exports[-1].summary["content"]))
                frame.write_parquet(work / f"{task}.parquet")
                told[task] = {"ripe": True, "n": len(frame), "positive": 20, "labels": [], "reason": None}
                told[task] |= {"sha256": sha256_of(work / f"{task}.parquet")}
            return {
                "export": {name: exports[-1].summary[name] for name in label_landed.EXPORT_FACTS},
                "followed_by": dict(ripe.followed_by),
                "tasks": told,
                "notes": {"num_staged": 2, "num_of_month": 2, "num_of_other_months": 0, "num_clean": 2, "num_words": 9},
                "rejected_by_cleaning": 0,
                "cohort_sql_sha256": {},
            }

        def score(settings: Any, folder: Path, files: Mapping[str, Path], length: Any, say: Any) -> Any:
            for task in files:
                self.made[f"scored {files[task].parent.name} {task} by {(folder / 'weights').read_text()}"] += 1
            return {task: (predictions(path, task), []) for task, path in files.items()}

        if not tracks:
            patch.setattr(Tracking, "run", untracked)
        patch.setattr(label_landed, "make_cohorts", make_cohorts)
        patch.setattr(operate, "score", score)
        patch.setattr(scored, "folder_hashes", lambda folder: {"model_sha256": "m", "tokenizer_sha256": "t"})


@contextmanager
def untracked(tracking: Tracking, context: Any, **told: Any) -> Iterator[Any]:
    yield SimpleNamespace(run_id="run", url="http://127.0.0.1:5000/run", log_values=lambda values: None)


def export_tables(month: str, mark: str = "") -> dict[str, str]:
    """CSV files of two stays that end in the month; ids hold the month."""
    day = first_day(month)
    stays = [(f"{month}-{n}", datetime(day.year, day.month, 5 + n, 10)) for n in range(2)]
    rows: dict[str, list[Sequence[str]]] = {name: [] for name in schemas.EXPORT_COLUMNS}
    for number, (stay, admitted) in enumerate(stays):
        left = admitted + timedelta(days=3)
        person = f"P{stay}"
        rows["patients"].append((person, "1950-01-01", "F", "White", "Not Hispanic", "Queens"))
        end = "Expired" if number else "Home"
        rows["encounters"].append((stay, person, str(admitted), str(left), "Medicine", "Emergency", end))
        for kind, written in (("hp", admitted + timedelta(hours=2)), ("discharge", left)):
            note = (f"{kind}-{stay}", stay, person, kind, "Medicine", "A1", str(written), f"{WORDS} {mark}", "", "")
            rows["notes"].append(note)
        rows["diagnoses"].append((stay, person, "1", "10", "I509"))
        rows["claims"].append((f"C{stay}", stay, "paid", str(left)))
    return {
        name: "\n".join(",".join(line) for line in (columns, *rows[name])) + "\n"
        for name, columns in schemas.EXPORT_COLUMNS.items()
    }


def examples(month: str, task: str, content: str) -> pl.DataFrame:
    """Forty labelled notes."""
    classes = TASKS[task].num_classes
    rows = [
        {
            "note_id": f"{month}-{number}",
            "encounter_id": f"E{number}",
            "subject_id": f"P{number}",
            "prediction_time": datetime(2025, 1, 1),
            "split": landed.LANDED_SPLIT,
            "label": number % classes,
            "age": 50,
            "sex": "F",
            "race": None,
            "ethnicity": None,
            "borough": None,
            "text": content,
        }
        for number in range(40)
    ]
    return pl.DataFrame(rows, schema=pl.DataFrame(schemas.EXAMPLES.empty_table()).schema)


def predictions(path: Path, task: str) -> pl.DataFrame:
    classes = TASKS[task].num_classes
    frame = pl.read_parquet(path)
    shares = [[0.8 if k == label else 0.2 / (classes - 1) for k in range(classes)] for label in frame["label"]]
    return frame.select(
        "note_id", "subject_id", pl.lit(task).alias("task"), "split", "label", pl.Series("probabilities", shares)
    )
