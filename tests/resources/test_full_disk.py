"""No space left while artifacts are made: what was there stays, nothing half-written looks finished, and it goes on."""

import errno
from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.audit.verification import verify
from lang1_assets.resources.store import MANIFEST, ArtifactStore
from tests.full_disk import SmallDisk, small_disk  # noqa: F401


def half_a_megabyte(work: Path) -> dict[str, Any]:
    (work / "weights").write_bytes(bytes(range(256)) * 2048)
    return {"num_bytes": (work / "weights").stat().st_size}


@pytest.fixture
def store(small_disk: SmallDisk) -> ArtifactStore:  # noqa: F811
    return ArtifactStore(root=str(small_disk.folder / "artifacts"), audit_folder=str(small_disk.folder / "audit"))


def test_an_artifact_that_does_not_fit_leaves_what_was_there(small_disk: SmallDisk, store: ArtifactStore) -> None:  # noqa: F811
    first = store.build("model", half_a_megabyte, parameters={"version": 1})
    with pytest.raises(OSError, match="No space left") as error:
        store.build("model", half_a_megabyte, parameters={"version": 2})
    assert error.value.errno == errno.ENOSPC
    kept = store.get("model")
    assert (kept.fingerprint, kept.path.joinpath("weights").stat().st_size) == (first.fingerprint, 2**19)
    small_disk.resize(8 * 2**20)
    second = store.build("model", half_a_megabyte, parameters={"version": 2})
    assert second.summary["num_bytes"] == 2**19
    assert not list(Path(store.root).glob("*.partial"))


def test_the_audit_holds_whatever_was_finished_when_the_disk_was_full(
    small_disk: SmallDisk,  # noqa: F811
    store: ArtifactStore,
) -> None:
    """Without a byte left even its own row cannot be written: then the artifact is not said to be made, or its row follows."""
    store.build("first", lambda work: {"made": True})
    ballast = small_disk.fill()
    with pytest.raises(OSError, match="No space left"):
        store.build("second", lambda work: {"made": True})
    ballast.unlink()
    store.build("third", lambda work: {"made": True})
    store.build("second", lambda work: {"made": True})
    report = verify(Path(store.audit_folder or "") / "audit.jsonl")
    assert report.problems == []
    rows = (Path(store.audit_folder or "") / "audit.jsonl").read_text()
    for path in Path(store.root).rglob(MANIFEST):
        assert f'"artifact":"{path.parent.name}"' in rows.replace(": ", ":")
