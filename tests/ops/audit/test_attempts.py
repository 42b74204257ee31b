"""No row is lost to a crash: the next writer tells how a dead one's work ended."""

import errno
import fcntl
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.audit import attempts
from lang1_assets.ops.audit.files import CHAIN_FILE
from lang1_assets.ops.audit.verification import verify
from tests.ops.audit.chains import entry, place, rows


def killed(work: Callable[[], Any]) -> None:
    """Do this in a process that is then killed with -9."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def finish(store: Path, name: str, **summary: Any) -> None:
    (store / name).mkdir(parents=True, exist_ok=True)
    values = {"fingerprint": "f" * 16, "summary": summary, "inputs": {}, "by": os.getpid()}
    (store / name / "artifact.json").write_text(json.dumps(values))


def told(audit: Path) -> list[tuple[str, str | None, bool]]:
    return [(row["event"], row["artifact"], row["recovered"]) for row in rows(audit)]


def test_killed_between_the_artifact_and_its_row(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    made = entry("corpus", begun="09:00", user="dr-night", run_id="run-1", inputs={"notes": "1" * 16})

    def work() -> None:
        attempts.begin(audit, made, place(store, "corpus"))
        finish(store, "corpus")

    killed(work)
    attempts.record(audit, [entry("next")])
    assert told(audit) == [("materialized", "corpus", True), ("materialized", "next", False)]
    recovered = rows(audit)[0]
    assert (recovered["user"], recovered["run_id"], recovered["inputs"]) == ("dr-night", "run-1", {"notes": "1" * 16})
    attempts.record(audit, [entry("later")])
    assert len(rows(audit)) == 3
    assert verify(audit / CHAIN_FILE).problems == []


def test_on_nfs_a_lock_is_asked_after_by_who_may_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the kernel turns `flock` into a lock on bytes: an exclusive one of a file opened for reading is EBADF (flock(2))."""
    audit, store, flock = tmp_path / "audit", tmp_path / "store", fcntl.flock

    def flock_of_nfs(handle: Any, operation: int) -> None:
        if operation & fcntl.LOCK_EX and not handle.writable():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock_of_nfs)
    killed(lambda: attempts.begin(audit, entry("corpus", begun="09:00"), place(store, "corpus")))
    store.mkdir()
    place(store, "corpus").lock.touch()
    attempts.record(audit, [entry("next")])
    assert told(audit) == [("interrupted", "corpus", True), ("materialized", "next", False)]


def test_killed_in_the_middle_of_the_work(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    killed(lambda: attempts.begin(audit, entry("corpus", begun="09:00"), place(store, "corpus")))
    attempts.record(audit, [entry("next")])
    assert told(audit) == [("interrupted", "corpus", True), ("materialized", "next", False)]


def test_an_older_artifact_of_the_same_fingerprint_is_not_the_work_of_the_dead(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    finish(store, "corpus")
    killed(lambda: attempts.begin(audit, entry("corpus", begun="09:00"), place(store, "corpus")))
    attempts.record(audit, [])
    assert told(audit) == [("interrupted", "corpus", True)]


def test_killed_after_the_row_tells_it_once(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    made = entry("corpus", begun="09:00")

    def work() -> None:
        attempts.begin(audit, made, place(store, "corpus"))
        finish(store, "corpus")
        # Its own attempt is not named as ended, as if it were killed before that.
        with attempts.open_chain(audit) as chain:
            chain.append([made])

    killed(work)
    attempts.record(audit, [entry("next")])
    assert told(audit) == [("materialized", "corpus", False), ("materialized", "next", False)]
    assert attempts.unfinished(audit) == []


def test_of_two_rows_the_one_that_was_not_written_is_made_up_for(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    made = entry("model_in_service/joint", begun="09:00")

    def work() -> None:
        attempts.begin(audit, made, place(store, made.artifact or ""))
        finish(store, made.artifact or "", variant="v", artifact="finetuned_joint/v", fingerprint="f" * 16)
        with attempts.open_chain(audit) as chain:
            chain.append([made])

    killed(work)
    attempts.record(audit, [])
    assert told(audit) == [
        ("materialized", "model_in_service/joint", False),
        ("put_in_service", "model_in_service/joint", True),
    ]
    facts = {"model_variant": "v", "model_artifact": "finetuned_joint/v", "model_fingerprint": "f" * 16}
    assert rows(audit)[1]["details"] == facts


def test_what_lives_is_left_alone(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    store.mkdir()
    corpus = place(store, "corpus")
    with open(corpus.lock, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        attempts.begin(audit, entry("corpus", begun="09:00"), corpus)
        attempts.record(audit, [entry("next")])
        assert told(audit) == [("materialized", "next", False)]
        assert attempts.unfinished(audit) == [str(corpus.manifest)]
        attempts.record(audit, [entry("corpus", begun="09:00")], ended=corpus)
    attempts.record(audit, [entry("later")])
    assert [name for _, name, _ in told(audit)] == ["next", "corpus", "later"]


@pytest.mark.parametrize("again", ["begin", "settle"])
def test_who_takes_the_artifact_up_tells_how_the_last_one_ended(tmp_path: Path, again: str) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    store.mkdir()
    corpus = place(store, "corpus")
    killed(lambda: attempts.begin(audit, entry("corpus", begun="09:00"), corpus))
    with open(corpus.lock, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if again == "begin":
            attempts.begin(audit, entry("corpus", begun="10:00"), corpus)
        else:
            attempts.settle(audit, corpus)
        assert told(audit) == [("interrupted", "corpus", True)]
    assert rows(audit)[0]["begun"] == "09:00"


def test_a_failure_that_was_told_is_not_told_again(tmp_path: Path) -> None:
    audit, store = tmp_path / "audit", tmp_path / "store"
    made = entry("corpus", begun="09:00")

    def work() -> None:
        attempts.begin(audit, made, place(store, "corpus"))
        with attempts.open_chain(audit) as chain:
            chain.append([entry("corpus", begun="09:00", event="failed")])

    killed(work)
    attempts.record(audit, [])
    assert told(audit) == [("failed", "corpus", False)]


def test_a_store_that_was_removed_since(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    killed(lambda: attempts.begin(audit, entry("corpus", begun="09:00"), place(tmp_path / "gone", "corpus")))
    attempts.record(audit, [])
    assert told(audit) == [("interrupted", "corpus", True)]


def test_what_an_older_version_of_this_program_left(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    killed(lambda: attempts.begin(audit, entry("corpus", begun="09:00"), place(tmp_path / "store", "corpus")))
    (left,) = (audit / "attempts").iterdir()
    values = json.loads(left.read_text())
    left.write_text(json.dumps({**values, "entry": {**values["entry"], "gone_since": 1}}))
    attempts.record(audit, [])
    assert told(audit) == [("interrupted", "corpus", True)]
