from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from lang1_assets import operate
from lang1_assets.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    tiny = load_settings("tiny")
    return tiny.model_copy(update={"operate": tiny.operate.model_copy(update={"landing": tmp_path})})


def land(folder: Path, month: str, complete: bool = True, text: str = "a\n") -> None:
    (folder / month).mkdir(exist_ok=True)
    (folder / month / "notes.csv").write_text(text)
    if complete:
        (folder / month / operate.COMPLETE_MARKER).touch()


def evaluate_sensor(settings: Settings, instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance)
    return operate.landing_sensor(settings)(context)  # type: ignore[return-value]


def test_only_complete_dated_exports_are_noticed(settings: Settings, tmp_path: Path) -> None:
    land(tmp_path, "2025-02")
    land(tmp_path, "2025-03", complete=False)
    land(tmp_path, "2025-13")
    land(tmp_path, "lost+found")
    land(tmp_path, "2024-12")
    assert list(operate.complete_exports(settings)) == ["2025-02"]
    assert settings.operate.earliest == date(2025, 1, 1)


def test_the_sensor_asks_for_one_run_a_month(settings: Settings, tmp_path: Path) -> None:
    land(tmp_path, "2025-02")
    land(tmp_path, "2025-03")
    with dg.DagsterInstance.ephemeral() as instance:
        result = evaluate_sensor(settings, instance)
    assert isinstance(result, dg.SensorResult)
    assert [run.partition_key for run in result.run_requests or []] == ["2025-02", "2025-03"]


def test_the_same_export_has_the_same_run_key_and_a_corrected_one_another(settings: Settings, tmp_path: Path) -> None:
    keys = []
    with dg.DagsterInstance.ephemeral() as instance:
        for text in ("a\n", None, "corrected\n"):
            if text is not None:
                land(tmp_path, "2025-02", text=text)
            result = evaluate_sensor(settings, instance)
            assert isinstance(result, dg.SensorResult)
            keys += [run.run_key for run in result.run_requests or []]
    assert keys[0] == keys[1] != keys[2]


def test_an_empty_landing_folder_is_skipped_with_a_word(settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = evaluate_sensor(settings, instance)
    assert isinstance(result, dg.SkipReason)
    assert operate.COMPLETE_MARKER in (result.skip_message or "")


def row(value: float, low: float, high: float) -> dict[str, object]:
    return {"metric": "auroc", "task": "mortality", "value": value, "low": low, "high": high}


@pytest.mark.parametrize(("new", "passed"), [(row(0.60, 0.55, 0.65), False), (row(0.78, 0.70, 0.85), True)])
def test_a_significant_drop_fails_the_check(new: dict[str, object], passed: bool) -> None:
    result = operate.no_significant_drop([new], {"mortality": row(0.80, 0.75, 0.85)})
    assert result.passed is passed
    assert passed or "Retraining proposed" in (result.description or "")
