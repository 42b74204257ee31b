"""Resume points under every accident that a disk has: cut off, changed, missing, full."""

import json
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training import checkpoints
from lang1_assets.ops.training.checkpoints import (
    MANIFEST_FILE,
    CheckpointError,
    finished,
    in_order_of_trust,
    load_resume,
    remove_newer,
    save_resume,
)
from lang1_assets.ops.training.world import World

BLOCK = bytes(range(256)) * 64


class Killed(BaseException):
    """The process is gone, there and then."""


class FakeEngine:
    """Keeps a checkpoint as DeepSpeed would lay it, with two files; can be killed half-way, or find the disk full."""

    killed = False
    disk_full = False

    def zero_optimization_stage(self) -> int:
        return 2

    def save_checkpoint(self, folder: str, tag: str, client_state: dict[str, Any], save_latest: bool) -> None:
        assert not save_latest
        (Path(folder) / tag).mkdir(parents=True, exist_ok=True)
        (Path(folder) / tag / "optimizer.pt").write_bytes(BLOCK)
        if self.killed:
            raise Killed
        if self.disk_full:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598\nframe 0")
        (Path(folder) / tag / "step").write_text(str(client_state["loop"]["step"]))

    def load_checkpoint(self, folder: str, tag: str) -> tuple[str, dict[str, Any]]:
        path = Path(folder) / tag / "step"
        assert (path.parent / "optimizer.pt").read_bytes() == BLOCK, "a damaged checkpoint was loaded"
        return str(path), {"loop": {"step": int(path.read_text())}}


class Run:
    """One rank that saves and loads in a folder."""

    def __init__(self, work: Path, world: World) -> None:
        self.work, self.world, self.engine = work, world, FakeEngine()
        self.reporter = Reporter(work, 0)

    def save(self, step: int, keep_last: int = 2, stable_step: int | None = None) -> None:
        state = {"step": step}
        save_resume(self.engine, self.work, step, state, self.world, keep_last=keep_last, stable_step=stable_step)

    def load(self, at_most: int | None = None) -> int | None:
        state = load_resume(self.engine, self.work, self.world, self.reporter, at_most=at_most)
        return None if state is None else state["step"]

    def steps(self) -> list[int]:
        """Every checkpoint that lies there, whole or not."""
        return sorted(int(path.name.removeprefix("step-")) for path in (self.work / "resume").glob("step-*"))

    def folder(self, step: int) -> Path:
        return self.work / "resume" / f"step-{step:08d}"

    def alerts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.work / "alerts.jsonl").read_text().splitlines()]


@pytest.fixture
def run(tmp_path: Path, one_rank: World) -> Run:
    return Run(tmp_path, one_rank)


def test_a_run_goes_on_from_its_last_finished_checkpoint(run: Run) -> None:
    assert run.load() is None
    for step in (5, 10, 15):
        run.save(step)
    run.engine.killed = True
    with pytest.raises(Killed):
        run.save(20)
    assert run.load() == 15
    assert run.alerts() == []


def test_two_checkpoints_are_kept_and_never_the_wrong_ones(run: Run) -> None:
    """Two that were cut off at higher steps do not push out the ones that are whole."""
    run.save(5)
    run.engine.killed = True
    for step in (20, 15):
        with pytest.raises(Killed):
            run.save(step)
    run.engine.killed = False
    for step in (6, 7):
        run.save(step)
        assert run.load() == step
    assert run.steps() == [6, 7]


def test_a_conversion_that_was_cut_off_does_not_stay(run: Run) -> None:
    left = run.work / "resume" / "universal-step-00000010" / "zero"
    left.mkdir(parents=True)
    run.save(20)
    assert not left.parent.exists()
    assert run.load() == 20


def test_damaged_checkpoints_do_not_push_out_the_one_that_the_run_went_on_from(run: Run) -> None:
    for step in (10, 20, 30):
        run.save(step, keep_last=3)
    for step in (20, 30):
        flip(run.work / "resume" / f"step-{step:08d}" / "optimizer.pt")
    assert run.load() == 10
    run.save(15)
    assert run.steps() == [10, 15]
    assert run.load() == 15


def test_the_newest_stable_checkpoint_stays_beside_the_last_ones(run: Run) -> None:
    for step in (10, 20, 30, 40, 50):
        run.save(step, keep_last=2, stable_step=25)
    assert run.steps() == [20, 40, 50]
    run.save(60, keep_last=3, stable_step=45)
    assert run.steps() == [40, 50, 60]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "optimizer.pt has 16383 bytes, its manifest says 16384"),
        (flip, "optimizer.pt has another checksum"),
        (Path.unlink, "optimizer.pt is missing"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(run: Run, damage: Any, said: str) -> None:
    for step in (5, 10):
        run.save(step)
    damage(run.folder(10) / "optimizer.pt")
    assert run.load() == 5
    (alert,) = run.alerts()
    assert (alert["kind"], alert["step"]) == ("checkpoint_damaged", 10)
    assert "step-00000010" in alert["text"]
    assert said in alert["text"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": 10}'])
def test_a_manifest_that_cannot_be_read_counts_as_damage(run: Run, content: str) -> None:
    for step in (5, 10):
        run.save(step)
    (run.folder(10) / MANIFEST_FILE).write_text(content)
    assert run.load() == 5
    assert len(run.alerts()) == 1


def test_where_no_checkpoint_is_whole_a_person_is_asked(run: Run) -> None:
    for step in (5, 10):
        run.save(step)
        flip(run.folder(step) / "optimizer.pt")
    with pytest.raises(CheckpointError, match=r"none of step-00000010, step-00000005 is whole; remove this folder"):
        run.load()


def test_a_checkpoint_saved_again_is_not_vouched_for_by_its_old_manifest(run: Run) -> None:
    run.save(5)
    run.save(10)
    run.engine.killed = True
    with pytest.raises(Killed):
        run.save(10)
    assert run.load() == 5


def test_a_disk_that_fills_up_leaves_the_earlier_checkpoint(run: Run) -> None:
    run.save(5)
    run.engine.disk_full = True
    with pytest.raises(
        OSError, match=r"step-00000010: the checkpoint could not be written \(.*unexpected pos.*\); free"
    ):
        run.save(10)
    assert run.load() == 5


def test_going_back_takes_the_newest_that_is_old_enough_and_the_oldest_if_none_is(run: Run) -> None:
    for step in (5, 10, 15):
        run.save(step, keep_last=3)
    assert [run.load(at_most=step) for step in (20, 15, 14, 10, 5, 4, -90)] == [15, 15, 10, 10, 5, 5, 5]
    flip(run.folder(10) / "optimizer.pt")
    assert run.load(at_most=12) == 5
    flip(run.folder(5) / "optimizer.pt")
    # Too new, and still better than nothing.
    assert run.load(at_most=12) == 15


def test_after_going_back_the_newer_checkpoints_are_gone(run: Run) -> None:
    for step in (5, 10, 15):
        run.save(step, keep_last=3)
    remove_newer(run.work, 5)
    assert run.steps() == [5]
    assert run.load() == 5


def test_what_is_half_removed_does_not_look_finished(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (5, 10):
        run.save(step)
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda *arguments, **options: None)
    remove_newer(run.work, 5)
    assert run.steps() == [5, 10]
    assert [manifest.step for manifest in finished(run.work / "resume")] == [5]
    assert in_order_of_trust(finished(run.work / "resume"), None)[0].step == 5
