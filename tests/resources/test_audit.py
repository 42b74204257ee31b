"""What the store, Dagster and the terminal make of the audit."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.materialization import materialized
from lang1_assets.ops.audit import attempts
from lang1_assets.ops.audit.entries import os_user
from lang1_assets.ops.audit.files import CHAIN_FILE, HEAD_FILE
from lang1_assets.ops.audit.verification import verify
from lang1_assets.resources import audit
from lang1_assets.resources.store import ArtifactStore
from tests.ops.audit.chains import rows
from tests.ops.audit.test_attempts import killed


def store(home: Path) -> ArtifactStore:
    return ArtifactStore(root=str(home / "artifacts" / "tiny"), audit_folder=str(home / "audit"))


def write(work: Path) -> dict[str, Any]:
    (work / "out.txt").write_text("out")
    return {"variant": "v", "artifact": "finetuned_joint/v", "fingerprint": "f" * 16}


def told(home: Path) -> list[tuple[str, str, bool]]:
    return [(row["event"], row["artifact"], row["recovered"]) for row in rows(home / "audit")]


def test_made_reused_and_made_from(tmp_path: Path) -> None:
    notes = store(tmp_path).build("notes", write)
    corpus = store(tmp_path).build("corpus", write, inputs=[notes])
    again = store(tmp_path).build("corpus", write, inputs=[notes])
    first, second, third = rows(tmp_path / "audit")
    assert [row["event"] for row in (first, second, third)] == ["materialized", "materialized", "reused"]
    assert second["inputs"] == {"notes": notes.fingerprint}
    assert second["fingerprint"] == corpus.fingerprint == third["fingerprint"]
    assert (first["user"], first["profile"], first["run_id"]) == (os_user(), "tiny", None)
    assert (corpus.audit_row, again.audit_row) == (f"2:{second['hash']}", f"3:{third['hash']}")
    assert (first["begun"] is not None, third["begun"]) == (True, None)
    assert first["code"]["version"]


def test_a_failure_is_told_without_its_words(tmp_path: Path) -> None:
    def fail(work: Path) -> dict[str, Any]:
        raise RuntimeError("Mrs Miller, born 1931")

    with pytest.raises(RuntimeError, match="Miller"):
        store(tmp_path).build("corpus", fail)
    (row,) = rows(tmp_path / "audit")
    assert (row["event"], row["details"]) == ("failed", {"error": "RuntimeError"})
    assert b"Miller" not in (tmp_path / "audit" / CHAIN_FILE).read_bytes()


def test_a_stop_is_no_failure(tmp_path: Path) -> None:
    def stop(work: Path) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store(tmp_path).build("corpus", stop)
    assert told(tmp_path) == [("interrupted", "corpus", False)]


def test_killed_between_the_artifact_and_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(attempts, "record", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        killed(lambda: store(tmp_path).build("corpus", write))
    assert store(tmp_path).find("corpus") is not None
    assert store(tmp_path).build("corpus", write).reused
    assert told(tmp_path) == [("materialized", "corpus", True), ("reused", "corpus", False)]


def test_killed_while_making(tmp_path: Path) -> None:
    killed(lambda: store(tmp_path).build("corpus", lambda work: os.kill(os.getpid(), signal.SIGKILL)))  # type: ignore[arg-type, return-value]
    store(tmp_path).build("corpus", write)
    assert told(tmp_path) == [("interrupted", "corpus", True), ("materialized", "corpus", False)]


def test_no_artifact_is_taken_for_audited_that_could_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG1_AUDIT_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="No such file"):
        store(tmp_path).build("corpus", write)
    assert store(tmp_path).find("corpus") is None


def test_a_disk_that_fills_up_before_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(attempts, "record", full)
        with pytest.raises(OSError, match="No space left"):
            store(tmp_path).build("corpus", write)
    store(tmp_path).build("next", write)
    assert told(tmp_path) == [("materialized", "corpus", True), ("materialized", "next", False)]


def test_a_model_that_is_put_in_service_has_a_row_of_its_own(tmp_path: Path) -> None:
    store(tmp_path).build("model_in_service/joint", write)
    made, put = rows(tmp_path / "audit")
    assert (made["event"], put["event"]) == ("materialized", "put_in_service")
    assert put["details"]["model_artifact"] == "finetuned_joint/v"


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        known = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", "-C", str(tmp_path), *known, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def told() -> Any:
        audit.code_version.cache_clear()
        return audit.code_version()

    monkeypatch.setattr(audit, "SOURCE_FOLDER", tmp_path)
    assert "commit" not in told()
    (tmp_path / "lang1_assets").mkdir()
    (tmp_path / "lang1_assets" / "module.py").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert (told()["commit"], told()["changed"]) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "notes.txt").write_text("not a part of the program")
    assert told()["changed"] is False
    (tmp_path / "lang1_assets" / "module.py").write_text("2")
    assert told()["changed"] is True
    git("checkout", "-q", "lang1_assets")
    (tmp_path / "lang1_assets" / "new.py").write_text("3")
    assert told()["changed"] is True
    # An installation inside of some other repository.
    monkeypatch.setattr(audit, "SOURCE_FOLDER", tmp_path / "lang1_assets")
    assert "commit" not in told()
    audit.code_version.cache_clear()


def asset_of(name: str, partitions: dg.PartitionsDefinition | None = None) -> dg.AssetsDefinition:
    @dg.asset(name=name, partitions_def=partitions)
    def _asset(context: dg.AssetExecutionContext, store: ArtifactStore) -> dg.MaterializeResult:
        artifact = f"{name}/{context.partition_key}" if partitions else name
        return materialized(store.build(artifact, write))

    return _asset


def test_dagster_says_which_run_and_who_launched_it_and_keeps_the_row(tmp_path: Path) -> None:
    plain, partitioned = asset_of("corpus"), asset_of("model", dg.StaticPartitionsDefinition(["v1"]))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [plain, partitioned],
            resources={"store": store(tmp_path)},
            instance=instance,
            partition_key="v1",
            tags={"dagster/sensor_name": "landing", "user": "dr-night", "secret": "token"},
        )
        by_artifact = {row["artifact"]: row for row in rows(tmp_path / "audit")}
        corpus, model = by_artifact["corpus"], by_artifact["model/v1"]
        assert (corpus["asset"], corpus["partition"]) == ("corpus", None)
        assert (model["asset"], model["partition"]) == ("model", "v1")
        assert model["run_id"] == done.run_id
        assert model["launched_by"]["dagster/sensor_name"] == "landing"
        assert model["launched_by"]["user"] == "dr-night"
        assert "secret" not in model["launched_by"]

        anchors = audit.anchors_in_dagster(instance, tmp_path)
        assert {anchor.link.sequence for anchor in anchors} == {1, 2}
        assert audit.anchors_in_dagster(instance, tmp_path / "another home") == []
    chain = tmp_path / "audit" / CHAIN_FILE
    assert verify(chain, anchors=anchors).problems == []
    whole = chain.read_bytes()
    chain.write_bytes(whole.splitlines(keepends=True)[0])
    head = {name: rows(tmp_path / "audit")[0][name] for name in ("sequence", "hash")}
    (tmp_path / "audit" / HEAD_FILE).write_text(json.dumps(head))
    (problem,) = verify(chain, anchors=anchors).problems
    assert problem.startswith("row 2 is missing; Dagster (asset ")


def test_forgotten_people_are_in_it_without_their_ids(tmp_path: Path) -> None:
    known = {"profile": "tiny", "fingerprint": "f" * 16, "rows": 3}
    request = {
        "subjects": ["subject-4711"],
        "removed": [{**known, "name": "clean_notes"}],
        "renamed": [{**known, "name": "joint_evaluation/v"}],
        "models": [{**known, "name": "finetuned_joint/v"}],
    }
    audit.record_forgotten(tmp_path, request)
    whole, removed, renamed = rows(tmp_path)
    assert whole["details"]["models_that_saw_them"] == ["tiny/finetuned_joint/v " + "f" * 16]
    assert [row["details"]["became"] for row in (removed, renamed)] == ["removed", "renamed"]
    assert b"4711" not in (tmp_path / CHAIN_FILE).read_bytes()
    assert whole["details"]["patients"] == [audit.pseudonym(tmp_path, "subject-4711")]
