from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.training.checkpoints import load_resume, save_resume
from lang1_assets.ops.training.world import World


class FakeEngine:
    """Keeps a checkpoint as a folder with one file, as DeepSpeed would lay it; can be killed half-way."""

    killed = False

    def save_checkpoint(self, folder: str, tag: str, client_state: dict[str, Any], save_latest: bool) -> None:
        assert not save_latest
        (Path(folder) / tag).mkdir(parents=True, exist_ok=True)
        if self.killed:
            raise InterruptedError
        (Path(folder) / tag / "step").write_text(str(client_state["loop"]["step"]))

    def load_checkpoint(self, folder: str, tag: str) -> tuple[str | None, dict[str, Any]]:
        path = Path(folder) / tag / "step"
        return (str(path), {"loop": {"step": int(path.read_text())}}) if path.exists() else (None, {})


def save(engine: FakeEngine, work: Path, step: int, one_rank: World) -> None:
    save_resume(engine, work, step, {"step": step}, one_rank)


def test_a_run_goes_on_from_its_last_finished_checkpoint(tmp_path: Path, one_rank: World) -> None:
    engine = FakeEngine()
    assert load_resume(engine, tmp_path) is None
    for step in (5, 10, 15):
        save(engine, tmp_path, step, one_rank)
    engine.killed = True
    with pytest.raises(InterruptedError):
        save(engine, tmp_path, 20, one_rank)
    assert load_resume(engine, tmp_path) == {"step": 15}


def test_two_checkpoints_are_kept_and_never_the_wrong_ones(tmp_path: Path, one_rank: World) -> None:
    """Two that were cut off at higher steps do not push out the ones that are whole."""
    engine = FakeEngine()
    save(engine, tmp_path, 5, one_rank)
    engine.killed = True
    for step in (20, 15):
        with pytest.raises(InterruptedError):
            save(engine, tmp_path, step, one_rank)
    engine.killed = False
    for step in (6, 7):
        save(engine, tmp_path, step, one_rank)
        assert load_resume(engine, tmp_path) == {"step": step}
    names = sorted(path.name for path in (tmp_path / "resume").glob("step-*"))
    assert names == ["step-00000006", "step-00000007"]


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path, one_rank: World) -> None:
    save(FakeEngine(), tmp_path, 5, one_rank)
    (tmp_path / "resume" / "step-00000005" / "step").unlink()
    with pytest.raises(ValueError, match="step-00000005 is not readable; delete this folder"):
        load_resume(FakeEngine(), tmp_path)
