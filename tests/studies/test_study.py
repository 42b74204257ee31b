"""The studies as assets: from evaluations in the store to figures, claims, checks, MLflow, and what is missing by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.evaluation import families
from lang1_assets.ops.study.figure import read_figures
from lang1_assets.ops.study.studies import CLAIMS, STUDIES
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from lang1_assets.studies import studied, study
from tests.ops.study.planted import BAD, GOOD, NOTHING, Plan, cell

OURS, GENERALIST, NOTES_PLUS = "lang1-tiny-notesplus-webtexts", "lang1-tiny-webtexts", "lang1-tiny-notesplus"
PLAN: Plan = {
    f"{OURS}/zero_shot": NOTHING,
    f"{OURS}/joint": GOOD,
    f"{OURS}/readmission": GOOD,
    f"{GENERALIST}/joint": BAD,
    f"there:{OURS}/zero_shot": {"readmission": NOTHING},
    f"there:{OURS}/readmission": {"readmission": GOOD},
    f"there:{OURS}/elsewhere_readmission": {"readmission": GOOD},
    f"scaled:{OURS}/0/900/all": BAD,
    f"scaled:{OURS}/1000/100/10": BAD,
    f"scaled:{OURS}/1000/900/all": GOOD,
    f"scaled:{GENERALIST}/1000/100/10": BAD,
    "outside:untrained-100m": NOTHING,
    "baseline:tfidf-logistic": BAD,
}


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """One database for the module: a fresh one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    return Tracking(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(folder / "artifacts"),
        dagster_url="http://127.0.0.1:3000",
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("profile")
    (folder / "ours.yaml").write_text(
        "extends: tiny\nname: ours\nevaluate: {num_resamples: 40}\nstudy: {num_notes: [10]}\n"
    )
    return load_settings(str(folder / "ours.yaml"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    store = ArtifactStore(root=str(tmp_path_factory.mktemp("artifacts")))
    fill(store, tmp_path_factory.mktemp("cells"))
    return store


@pytest.fixture
def store(planted: ArtifactStore, tmp_path: Path) -> ArtifactStore:
    """A copy that a test may change."""
    shutil.copytree(planted.root, tmp_path / "artifacts")
    return ArtifactStore(root=str(tmp_path / "artifacts"))


def fill(store: ArtifactStore, folder: Path) -> None:
    for name, signal in PLAN.items():
        made = cell(folder, name, signal, num_notes=150)

        def write(work: Path, made: Any = made) -> dict[str, Any]:
            shutil.copyfile(made.predictions, work / "predictions.parquet")
            (work / "rows.json").write_text(json.dumps(made.rows))
            facts = ("pretrain_tokens", "finetune_tokens", "num_notes")
            return {fact: getattr(made, fact) for fact in facts if getattr(made, fact) is not None}

        store.build(made.source, write)
    rows = [
        {
            "name": name,
            "tokens": tokens,
            "value": 0.5,
            "low": 0.48,
            "high": 0.52,
            "n": 90,
            "num_events": 20,
            "chance": 0.5,
        }
        for name in ("comprehension", "readmission")
        for tokens in (500_000, 1_000_000)
    ]
    gain = {"value": 0.2, "low": 0.1, "high": 0.3}
    keep(store, f"trajectory_evaluation/{OURS}", rows, {"comprehension_gains": {"comprehension": gain}})
    keep(store, f"answer_perplexity/{OURS}", [{"mode": "joint", "task": "mortality", "perplexity": 1.5, "n": 90}], {})


def keep(store: ArtifactStore, name: str, rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    def write(work: Path) -> dict[str, Any]:
        (work / "rows.json").write_text(json.dumps(rows))
        return summary

    store.build(name, write)


def made(name: str, settings: Settings, store: ArtifactStore, tracking: Tracking) -> dg.ExecuteInProcessResult:
    asset = next(item for item in study.build_assets(settings) if item.key.to_user_string() == name)
    return dg.materialize([asset], resources={"store": store, "tracking": tracking})


def shown(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    return {key: value.value for key, value in result.asset_materializations_for_node(name)[0].metadata.items()}


@pytest.mark.parametrize("name", [one.name for one in STUDIES])
def test_a_study(name: str, settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    from mlflow import MlflowClient

    result = made(name, settings, store, tracking)
    artifact = store.get(f"study/{name}")
    for file in ("figure.json", "figure.png", "figure-phone.png", "claims.json"):
        assert (artifact.path / file).stat().st_size > 0
    figures = read_figures(artifact.path)
    assert all(figure.name == name for figure in figures)
    sources = {point.source for figure in figures for point in figure.points if point.value is not None}
    assert sources <= set(artifact.inputs)
    metadata = shown(result, name)
    assert metadata["figure"].startswith("![")
    assert metadata["numbers"].startswith("Synthetic data")
    assert metadata["missing"] == artifact.summary["missing"]
    (check,) = result.get_asset_check_evaluations()
    verdicts = study.read_claims(artifact.path)
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.passed == all(one.verdict == "holds" for one in verdicts)
    assert check.description is not None
    assert all(f"{one.claim.name}: {one.verdict}" in check.description for one in verdicts)
    client = MlflowClient(tracking.tracking_uri)
    run = client.get_run(metadata["mlflow_run_id"])
    assert client.get_experiment(run.info.experiment_id).name == "study"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        "figure.json",
        "figure.png",
        "claims.json",
    }
    assert sum(run.data.metrics.values()) == len(verdicts)


def test_what_the_profile_asks_for_and_nobody_made_is_named(settings: Settings, store: ArtifactStore) -> None:
    found = families.found_for(store, settings, ["finetuned_comparison", "other_hospital"])
    missing = families.missing_of(settings, found)
    assert f"mortality_evaluation/{OURS}" in missing
    assert f"elsewhere_evaluation/{GENERALIST}/matched_readmission" in missing
    assert "baseline_evaluation/tfidf-trees" in missing
    assert not {f"joint_evaluation/{OURS}", "outside_evaluation/untrained-100m"} & set(missing)
    # Of calibration and of decay ours alone is expected, and the encoders.
    calibration = families.missing_of(settings, families.found_for(store, settings, ["calibration"]))
    assert {name.split("/")[1] for name in calibration} == {OURS}
    # An encoder has no zero-shot model.
    assert not [name for name in missing if name.startswith("zero_shot") and "encoder" in name]
    there = {item.name for items in found.values() for item in items}
    assert not there & set(missing)


def test_cells_say_what_they_are(settings: Settings, store: ArtifactStore) -> None:
    found = families.found_for(store, settings, [one.name for one in STUDIES])
    held = studied.studied_of(store, settings, found)
    by_source = {one.source: one for one in held.cells}
    assert len(by_source) == len(held.cells) == len(PLAN)
    assert by_source[f"zero_shot_evaluation/{OURS}"].trained_on is None
    there = by_source[f"elsewhere_evaluation/{OURS}/elsewhere_readmission"]
    assert (there.kind, there.trained_on) == ("elsewhere", "elsewhere_readmission")
    scaled = by_source[f"scaled_evaluation/{OURS}/1000/900/all"]
    assert (scaled.pretrain_tokens, scaled.finetune_tokens, scaled.has_all_notes) == (1000, 900, True)
    assert held.ours.name == OURS
    assert [base.name for base in held.bases if base.is_generalist] == [GENERALIST]


def test_a_half_made_evaluation_and_one_of_a_variant_that_is_gone_are_not_read(
    settings: Settings, store: ArtifactStore
) -> None:
    folder = store.path(f"joint_evaluation/{OURS}")
    shutil.copytree(folder, folder.with_name(f"{OURS}.partial"))
    shutil.copytree(folder, folder.with_name("a-variant-of-last-year"))
    (store.path(f"joint_evaluation/{GENERALIST}") / "rows.json").write_text("[]")
    found = families.found_for(store, settings, ["ablations"])
    names = [item.name for item in found["finetuned"]]
    # Cut short, the last one is not what its manifest says.
    assert names == [f"joint_evaluation/{OURS}", f"readmission_evaluation/{OURS}"]


def test_before_any_evaluation_a_study_says_what_to_do(settings: Settings, tracking: Tracking, tmp_path: Path) -> None:
    empty = ArtifactStore(root=str(tmp_path))
    with pytest.raises(dg.Failure, match=f"Materialize first: .*scaled_evaluation/{OURS}"):
        made("token_budget", settings, empty, tracking)
    with pytest.raises(dg.Failure, match="No study was made yet"):
        made("claims", settings, empty, tracking)


def test_a_study_is_made_again_when_an_evaluation_is(
    settings: Settings, store: ArtifactStore, tracking: Tracking, tmp_path: Path
) -> None:
    made("calibration", settings, store, tracking)
    before, figures = store.get("study/calibration"), read_figures(store.get("study/calibration").path)
    made("calibration", settings, store, tracking)
    assert store.get("study/calibration").created == before.created
    again = cell(tmp_path, f"{OURS}/joint", BAD, num_notes=150)

    def write(work: Path) -> dict[str, Any]:
        shutil.copyfile(again.predictions, work / "predictions.parquet")
        (work / "rows.json").write_text(json.dumps(again.rows))
        return {}

    store.build(again.source, write, parameters={"since": 2})
    made("calibration", settings, store, tracking)
    after = store.get("study/calibration")
    assert after.fingerprint != before.fingerprint
    assert read_figures(after.path) != figures


def test_every_claim_has_a_verdict_and_a_check(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    for name in ("finetuned_comparison", "emergence"):
        made(name, settings, store, tracking)
    result = made("claims", settings, store, tracking)
    verdicts = {one.claim.name: one for one in study.read_claims(store.get("claims").path)}
    assert list(verdicts) == [claim.name for claim in CLAIMS]
    assert verdicts["comprehension_rises"].verdict == "holds"
    assert verdicts["clinical_base_exceeds_generalist"].verdict == "holds"
    unmade = verdicts["joint_exceeds_single"]
    assert (unmade.verdict, unmade.numbers) == ("cannot tell", "The study transfer was not made.")
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert set(checks) == set(verdicts)
    for name, one in verdicts.items():
        assert checks[name].passed == (one.verdict == "holds")
        assert checks[name].severity == dg.AssetCheckSeverity.WARN
        assert (checks[name].description or "").startswith(one.verdict)
    assert shown(result, "claims")["claims"].startswith("Synthetic data")


def test_analyses_are_judged_with_the_claims(settings: Settings, store: ArtifactStore, tracking: Tracking) -> None:
    rows = [
        {"panel": "stay given death", "condition": condition, "outcome": option, "n": 200, "count": count}
        for condition, counts in (("died", (90, 10, 10, 90)), ("survived", (50, 50, 50, 50)))
        for option, count in zip(("0 to 2 days", "3 days", "4 to 5 days", "more than 5 days"), counts, strict=True)
    ]
    keep(store, "label_dependence", rows, {})
    made("claims", settings, store, tracking)
    verdicts = {one.claim.name: one for one in study.read_claims(store.get("claims").path)}
    assert verdicts["the_dead_stayed_shortly_or_long"].verdict == "holds"
    assert verdicts["long_stays_have_the_risk_of_short_ones"].verdict == "cannot tell"
    assert verdicts["patient_overlap_changes_little"].verdict == "cannot tell"


def test_an_evaluation_of_an_earlier_model_is_not_read(settings: Settings, store: ArtifactStore) -> None:
    """As one of a checkpoint that is no longer in the trajectory: it would be taken for the last one."""

    def make(number: int) -> tuple[str, ...]:
        base = store.build(f"pretrained_model/{NOTES_PLUS}", lambda work: {}, parameters={"steps": number})
        model = store.build(f"scaled_model/{NOTES_PLUS}/tokens-{number}/all", lambda work: {}, inputs=[base])
        held = store.build(
            f"scaled_evaluation/{NOTES_PLUS}/tokens-{number}/all", rows_of("readmission"), inputs=[model]
        )
        assert held.name in names()
        return names()

    def names() -> tuple[str, ...]:
        return tuple(item.name for item in families.found_for(store, settings, ["data_efficiency"])["scaled"])

    def rows_of(task: str) -> Any:
        return lambda work: {"num": (work / "rows.json").write_text(json.dumps([{"task": task}]))}

    make(2000)
    assert f"scaled_evaluation/{NOTES_PLUS}/tokens-2000/all" not in make(1000)
    assert len(names()) == 1 + len([name for name in PLAN if name.startswith("scaled:")])
    # Nor one of a number of notes, or of a task, that the profile asked for once.
    store.build(f"scaled_evaluation/{NOTES_PLUS}/tokens-1000/77", rows_of("readmission"))
    store.build(f"scaled_evaluation/{NOTES_PLUS}/tokens-1000/10", rows_of("mortality"))
    assert len(names()) == 1 + len([name for name in PLAN if name.startswith("scaled:")])
