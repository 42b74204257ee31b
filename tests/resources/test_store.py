import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.resources.store import ArtifactError, ArtifactStore


def store(folder: Path) -> ArtifactStore:
    return ArtifactStore(root=str(folder))


def writer(text: str, calls: list[str]) -> Any:
    def make(work: Path) -> dict[str, Any]:
        calls.append(text)
        (work / "out.txt").write_text(text)
        return {"length": len(text)}

    return make


def test_reused_until_something_changes(tmp_path: Path) -> None:
    calls: list[str] = []
    first = store(tmp_path).build("a", writer("x", calls), parameters={"p": 1})
    again = store(tmp_path).build("a", writer("y", calls), parameters={"p": 1})
    changed = store(tmp_path).build("a", writer("z", calls), parameters={"p": 2})
    assert calls == ["x", "z"]
    assert (first.reused, again.reused, changed.reused) == (False, True, False)
    assert again.summary["length"] == 1
    assert (changed.path / "out.txt").read_text() == "z"


def test_a_changed_input_changes_what_is_made_from_it(tmp_path: Path) -> None:
    calls: list[str] = []
    for seed in (1, 1, 2):
        upstream = store(tmp_path).build("up", writer("u", []), parameters={"seed": seed})
        store(tmp_path).build("down", writer("d", calls), inputs=[upstream])
    assert len(calls) == 2


def test_force_makes_it_again(tmp_path: Path) -> None:
    calls: list[str] = []
    for force in (False, True):
        store(tmp_path).build("a", writer("x", calls), force=force)
    assert len(calls) == 2


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    calls: list[str] = []
    made = store(tmp_path).build("a", writer("long text", calls))
    (made.path / "out.txt").write_text("long")
    assert store(tmp_path).find("a") is None
    store(tmp_path).build("a", writer("long text", calls))
    assert len(calls) == 2


def test_a_failure_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    def fail(work: Path) -> dict[str, Any]:
        (work / "half.txt").write_text("half")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        store(tmp_path).build("a", fail)
    assert not (tmp_path / "a").exists()
    with pytest.raises(ArtifactError, match="materialize the asset 'a' first"):
        store(tmp_path).get("a")


def test_an_interrupted_maker_finds_its_folder_as_it_left_it(tmp_path: Path) -> None:
    seen = []

    def make(work: Path) -> dict[str, Any]:
        seen.append(sorted(path.name for path in work.glob("*.txt")))
        (work / "one.txt").write_text("1")
        if len(seen) == 1:
            raise RuntimeError("interrupted")
        return {}

    with pytest.raises(RuntimeError):
        store(tmp_path).build("a", make, parameters={"p": 1})
    store(tmp_path).build("a", make, parameters={"p": 1})
    assert seen == [[], ["one.txt"]]


def test_leftovers_of_other_settings_are_not_taken_up(tmp_path: Path) -> None:
    def fail(work: Path) -> dict[str, Any]:
        (work / "stale.txt").write_text("stale")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        store(tmp_path).build("a", fail, parameters={"p": 1})
    made = store(tmp_path).build("a", writer("x", []), parameters={"p": 2})
    assert not (made.path / "stale.txt").exists()


def slow_build(root: str, marker: str) -> None:
    def make(work: Path) -> dict[str, Any]:
        Path(marker).touch()
        time.sleep(60)
        return {}

    ArtifactStore(root=root).build("a", make)


def begin(folder: Path, code: str, parameter: int, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[str]:
    """Make an artifact with code of this hash, up to a failure; what its maker found in its folder."""
    found: list[str] = []

    def make(work: Path) -> dict[str, Any]:
        found.extend(path.name for path in work.glob("*.bin"))
        (work / f"{code}.bin").write_text("")
        raise RuntimeError("interrupted")

    monkeypatch.setattr("lang1_assets.resources.store.source_hash", lambda module: code)
    with pytest.raises(RuntimeError, match="interrupted"):
        store(folder).build("a", make, parameters={"p": parameter, "pair": (1, 2)}, code=["m"], **options)
    return sorted(found)


def test_a_month_of_work_outlives_new_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    options = {"goes_on_over_new_code": True, "on_wait": said.append}
    assert begin(tmp_path, "old", 1, monkeypatch, **options) == []
    assert begin(tmp_path, "new", 1, monkeypatch, **options) == ["old.bin"]
    assert len(said) == 1
    assert "older code" in said[0]
    assert begin(tmp_path, "new", 1, monkeypatch, **options) == ["new.bin", "old.bin"]
    assert begin(tmp_path, "newer", 1, monkeypatch) == []
    assert len(said) == 1


def test_a_month_of_work_is_set_aside_when_settings_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    options = {"goes_on_over_new_code": True, "on_wait": said.append}
    assert begin(tmp_path, "old", 1, monkeypatch, **options) == []
    assert begin(tmp_path, "new", 2, monkeypatch, **options) == []
    assert "set aside" in said[0]
    assert begin(tmp_path, "new", 2, monkeypatch, **options) == ["new.bin"]
    # Back to the first settings, and to what they had made, under newer code.
    assert begin(tmp_path, "newer", 1, monkeypatch, **options) == ["old.bin"]
    assert begin(tmp_path, "newer", 2, monkeypatch, **options) == ["new.bin"]
    assert len(list(tmp_path.glob("a.partial*"))) == 2


def test_a_killed_maker_lets_go_of_the_lock(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    process = multiprocessing.get_context("spawn").Process(target=slow_build, args=(str(tmp_path), str(marker)))
    process.start()
    deadline = time.monotonic() + 60
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "a").exists()
    assert not store(tmp_path).build("a", writer("x", [])).reused


def test_only_the_owner_reads_an_artifact(tmp_path: Path) -> None:
    made = store(tmp_path).build("a", writer("x", []))
    assert made.path.stat().st_mode & 0o077 == 0
