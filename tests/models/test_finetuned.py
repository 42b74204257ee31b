"""What any finetuned model is made by and judged by, and what is refused before a job is launched."""

import ast
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pytest

from lang1_assets.models import finetune, finetuned
from lang1_assets.ops.metrics import auroc
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from tests.mlflow_database import database  # noqa: F401
from tests.models.in_process_launcher import InProcessLauncher
from tests.ops.conftest import synthetic_examples

VARIANT = "lang1-tiny-notes"
PACKAGE = Path(finetuned.__file__).parents[1]
LEARNS_NOTHING = {
    "lang1_assets.ops.checksums",
    "lang1_assets.ops.freed_memory",
    "lang1_assets.ops.gpu_room",
    "lang1_assets.ops.linking",
    "lang1_assets.ops.reporting",
    "lang1_assets.ops.schemas",
}
"""Modules that the job imports and no weight depends on."""


def source_of(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module: str) -> Iterator[str]:
    """Modules of this project that a module imports, inside of its functions too."""
    for node in ast.walk(ast.parse(source_of(module).read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.startswith("lang1_assets.") and source_of(name).is_file())


def reached_from(modules: Sequence[str]) -> set[str]:
    found, left = set(), list(modules)
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left += imported(module)
    return found


def test_a_model_depends_on_all_code_that_its_job_imports() -> None:
    folder = source_of(finetuned.JOB).parent
    job = [f"{finetuned.JOB}.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"]
    reached = reached_from([finetuned.JOB, *job])
    assert "lang1_assets.ops.training.engine" in reached
    listed = {*finetuned.CODE, *LEARNS_NOTHING}
    missing = {module for module in reached if not any(f"{module}.".startswith(f"{name}.") for name in listed)}
    assert missing - {"lang1_assets.ops"} == set()


@pytest.mark.parametrize("shares", [[0.4, 0.3, 0.2, 0.1], [0.8, 0.05, 0.05, 0.05, 0.05]])
def test_who_knows_the_classes_shares_alone_is_at_chance(shares: list[float]) -> None:
    labels = np.repeat(np.arange(len(shares)), [int(100 * share) for share in shares])
    constant = auroc(labels, np.tile(shares, (len(labels), 1)))
    assert constant.micro > 0.5
    result = finetuned.better_than_chance({"a": constant.value})
    assert not result.passed
    assert finetuned.better_than_chance({"a": constant.value, "b": 0.6}).passed
    assert finetuned.better_than_chance({"a": constant.value, "b": 0.6}).description == "no better than chance: a"
    assert not finetuned.better_than_chance({}).passed


def test_of_the_best_step_the_last_word_of_the_full_run(tmp_path: Path) -> None:
    rows = [
        {"group": "trial-0", "step": 4, "values": {"val/auroc/mortality": 0.1}},
        {"group": "train", "step": 2, "values": {"val/auroc/mortality": 0.2}},
        {"group": "train", "step": 4, "values": {"train/loss": 1.0}},
        {"group": "train", "step": 4, "values": {"val/auroc_micro": 0.3, "val/auroc/mortality": 0.7}},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert finetuned.validation_aurocs(tmp_path, 4) == {"mortality": 0.7}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "ours.yaml").write_text("extends: tiny\nname: ours\n")
    return load_settings(str(tmp_path / "ours.yaml"))


@pytest.mark.parametrize("reason", ["no claims there", ""])
def test_without_notes_there_nothing_is_matched_and_the_other_hospital_is_named(
    reason: str, settings: Settings, tmp_path: Path
) -> None:
    store = ArtifactStore(root=str(tmp_path / "artifacts"))

    def write(hold: bool, off: str) -> Any:
        def make(work: Path) -> dict[str, Any]:
            rows = synthetic_examples("mortality")
            (rows if hold else rows.filter(split="val")).write_parquet(work / "examples.parquet")
            return {"switched_off": off}

        return make

    store.build("mortality_examples", write(True, ""))
    store.build("elsewhere_mortality_examples", write(False, reason))
    resources = {
        "store": store,
        "tracking": Tracking(tracking_uri="", ui_url="", artifact_root="", dagster_url=""),
        "launcher": InProcessLauncher(),
        "alerts": Alerts(),
    }
    with pytest.raises(dg.Failure, match=f"elsewhere_mortality_examples.*{reason or 'none of split'}"):
        dg.materialize([finetune.finetuned(settings, "matched_mortality")], resources=resources, partition_key=VARIANT)


@pytest.mark.parametrize(
    ("recipe", "registered"),
    [("mortality", ["ours-mortality"]), ("matched_mortality", []), ("elsewhere_mortality", [])],
)
def test_a_control_is_registered_nowhere(
    recipe: str,
    registered: list[str],
    settings: Settings,
    tmp_path: Path,
    database: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers a question of a study and never serves: among the registered models each is a candidate and has a card."""
    store = ArtifactStore(root=str(tmp_path / "artifacts"))

    def write(work: Path) -> dict[str, Any]:
        synthetic_examples("mortality").write_parquet(work / "examples.parquet")
        return {"switched_off": ""}

    for name in ("mortality_examples", "elsewhere_mortality_examples"):
        store.build(name, write)
    store.build(f"pretrained_model/{VARIANT}", lambda work: {})
    tracking = Tracking(
        tracking_uri=f"sqlite:///{shutil.copyfile(database, tmp_path / 'mlflow.db')}",
        ui_url="",
        artifact_root=str(tmp_path / "mlflow"),
        dagster_url="",
    )
    client = tracking._client()
    summary = {
        "mlflow_run_id": client.create_run("0").info.run_id,
        "mlflow_url": "http://127.0.0.1:5000",
        "checkpoint": "tokens-7",
        "best_val_micro_auroc": 0.7,
        "best_val_auroc": {"mortality": 0.7},
    }

    def build(context: Any, settings: Any, store: ArtifactStore, services: Any, finetuning: Any) -> Any:
        """A model without its training."""
        return store.build(finetuning.artifact, lambda work: summary)

    monkeypatch.setattr(finetune, "build_finetuned", build)
    made = dg.materialize(
        [finetune.finetuned(settings, recipe)],
        resources={"store": store, "tracking": tracking, "launcher": InProcessLauncher(), "alerts": Alerts()},
        partition_key=VARIANT,
    )
    assert [model.name for model in client.search_registered_models()] == registered
    (shown,) = made.asset_materializations_for_node(f"finetuned_{recipe}")
    assert shown.metadata["registered_version"].value == ("1" if registered else finetune.CONTROL)


def test_what_a_killed_job_left_to_resume_from_is_no_part_of_the_model(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its summary: the job counts as done, and does not come to remove the folder."""
    store = ArtifactStore(root=str(tmp_path / "artifacts"))
    base = store.build(
        f"pretrained_model/{VARIANT}", lambda work: {"trajectory": ["tokens-000000000000007"], "tokens": 7}
    )
    examples = store.build("mortality_examples", lambda work: {"switched_off": ""})

    def train(context: Any, settings: Any, services: Any, training: Any, work: Path) -> dict[str, Any]:
        for name in ("resume", "best"):
            (work / name / "step-00000004").mkdir(parents=True)
            (work / name / "step-00000004" / "weights").write_text("")
        (work / "metrics.jsonl").write_text("")
        return {"best_step": 4}

    monkeypatch.setattr(finetuned, "train", train)
    made = finetuned.build_finetuned(
        SimpleNamespace(log=SimpleNamespace(warning=print)),  # type: ignore[arg-type]
        settings,
        store,
        SimpleNamespace(tracking=SimpleNamespace(describe_model=lambda *facts: None)),  # type: ignore[arg-type]
        finetuned.Finetuning(
            artifact="model",
            title="model",
            variant=VARIANT,
            recipe="mortality",
            base=base,
            examples={"mortality": examples},
        ),
    )
    assert not [name for name in ("resume", "best") if (made.path / name).exists()]
