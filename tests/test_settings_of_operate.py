"""Where new months land, and which models are asked about them."""

from pathlib import Path

import pytest

from lang1_assets.months.landed import follow_up_days
from lang1_assets.ops.tasks import REMEDE
from lang1_assets.settings import SettingsError, load_settings


def profile(folder: Path, operate: str) -> str:
    path = folder / "ours.yaml"
    path.write_text(f"extends: tiny\nname: ours\noperate: {operate}\n")
    return str(path)


def test_a_folder_is_relative_to_its_profile_and_a_url_is_left_as_it_is(tmp_path: Path) -> None:
    assert load_settings(profile(tmp_path, "{landing: exports}")).operate.landing == str(tmp_path / "exports")
    assert load_settings(profile(tmp_path, "{landing: s3://bucket/exports}")).operate.landing == "s3://bucket/exports"
    assert load_settings("tiny").operate.landing is None


@pytest.mark.parametrize("url", ["s3://key:word@bucket/exports", "sftp://somebody@host/exports"], ids=["s3", "sftp"])
def test_a_url_names_nobody(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="set the store's own environment variables") as error:
        load_settings(profile(tmp_path, f"{{landing: '{url}'}}"))
    assert not any(told in str(error.value) for told in ("key:", "word@", "somebody"))


def test_denials_are_waited_for_where_there_are_claims(tmp_path: Path) -> None:
    assert follow_up_days(load_settings("tiny"))["insurance_denial"] == 120
    shorter = load_settings(profile(tmp_path, "{insurance_denial_days: 60}"))
    waits = {"readmission": 30, "insurance_denial": 60}
    assert follow_up_days(shorter) == {task: waits.get(task, 0) for task in REMEDE}
    without = shorter.model_copy(update={"source": shorter.source.model_copy(update={"kind": "omop"})})
    assert follow_up_days(without)["insurance_denial"] == 0


@pytest.mark.parametrize(
    ("operate", "said"),
    [
        ("{recipes: [joint, sepsis]}", "no recipe sepsis"),
        ("{recipes: [joint, joint]}", "names one twice"),
        ("{recipes: []}", "at least 1"),
        ("{max_runs_a_tick: 0}", "greater than 0"),
        ("{insurance_denial_days: -1}", "greater than or equal to 0"),
        ("{settle_seconds: -1}", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, operate: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(profile(tmp_path, operate))
