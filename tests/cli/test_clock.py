"""What the progress line knows of the time that is left."""

from pathlib import Path

import pytest

from lang1_assets.cli import clock
from lang1_assets.cli.agenda import agenda
from lang1_assets.cli.clock import USUAL_SECONDS, Clock
from lang1_assets.cli.lanes import Entry
from lang1_assets.settings import load_settings

ONE, TWO = (Entry(asset="finetuned_joint", partition=key) for key in ("a", "b"))


@pytest.fixture(autouse=True)
def _usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "USUAL_SECONDS", {"finetuned_joint": 40.0, "claims": 2.0, "records": 10.0})


def test_what_was_measured_here_is_known(tmp_path: Path) -> None:
    measured = Clock.read(tmp_path / "seconds.json")
    assert measured.left([ONE]) is None
    measured.note(ONE, 100.0, reused=False)
    measured.note(ONE, 1.0, reused=True)
    again = Clock.read(tmp_path / "seconds.json")
    assert again.left([ONE]) == 100
    # Of the same asset.
    assert again.left([TWO]) == 100
    assert again.left([ONE, TWO]) == 200
    (tmp_path / "seconds.json").write_text("{")
    assert Clock.read(tmp_path / "seconds.json").known == {}


def test_what_nobody_has_made_here_takes_its_usual_share(tmp_path: Path) -> None:
    """The records took half of what they usually take: so will everything else."""
    measured = Clock(file=tmp_path / "seconds.json", known={"records": 5.0})
    assert measured.left([ONE, TWO, Entry(asset="claims")]) == 20 + 20 + 1
    measured.note(ONE, 85.0, reused=False)
    # 90 seconds for what usually takes 50.
    assert measured.left([Entry(asset="claims")]) == pytest.approx(2 * 90 / 50)
    assert measured.left([Entry(asset="of a hospital's own")]) == pytest.approx((5 + 85 + 3.6) / 3)


def test_without_anything_to_compare_the_mean_of_what_is_known_is_taken(tmp_path: Path) -> None:
    measured = Clock(file=tmp_path / "seconds.json", known={"one": 10.0, "two": 30.0})
    assert measured.left([ONE]) == 20


def test_every_asset_of_the_tiny_study_has_its_usual_seconds() -> None:
    assert {entry.asset for entry in agenda(load_settings("tiny"))} == set(USUAL_SECONDS)
