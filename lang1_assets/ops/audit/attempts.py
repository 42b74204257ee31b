"""What is being made lies on the disk until its row does, so that no crash between an artifact and its row loses the row.

The next process that writes anything finds what a dead one left: the artifact's manifest says whether it was finished.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lang1_assets.ops.audit.chain import Chain, open_chain
from lang1_assets.ops.audit.entries import Entry, Row
from lang1_assets.ops.audit.files import ATTEMPTS_FOLDER, write_durably

SERVING_ARTIFACT = "model_in_service"
SERVING_FACTS = ("variant", "artifact", "fingerprint")
ENTRY_FIELDS = frozenset(field.name for field in fields(Entry))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an artifact will be, as its store has it."""

    manifest: Path
    """Written when it is finished; has its `fingerprint` and `summary`."""
    lock: Path
    """Held (flock) by whoever makes it, as long as they live."""


def begin(folder: Path, entry: Entry, place: Place, key: bytes | None = None) -> None:
    """Say what is about to be made, by a process that holds the artifact's lock; tell first how an earlier attempt ended.

    Args:
        entry: the row that there will be when it is done.
    """
    with open_chain(folder, key) as chain:
        _settle(chain, _left_behind(folder, held=place))
        last = chain.tail() or chain.head()
        values = {
            "entry": asdict(entry),
            "manifest": str(place.manifest),
            "lock": str(place.lock),
            "after": 0 if last is None else last.sequence,
            "manifest_before": _digest(place.manifest),
        }
        write_durably(_attempt_file(folder, place), json.dumps(values).encode())


def settle(folder: Path, place: Place, key: bytes | None = None) -> None:
    """Tell how an earlier attempt at this artifact ended, if one was left; for a process that holds its lock."""
    if _attempt_file(folder, place).exists():
        with open_chain(folder, key) as chain:
            _settle(chain, _left_behind(folder, held=place))


def record(folder: Path, entries: Sequence[Entry], key: bytes | None = None, ended: Place | None = None) -> list[Row]:
    """Append rows, and before them those that dead processes did not come to write.

    Args:
        ended: the attempt whose end `entries` are.

    Returns:
        The entries' rows.
    """
    with open_chain(folder, key) as chain:
        left = [path for path in _left_behind(folder) if ended is None or path != _attempt_file(folder, ended)]
        _settle(chain, left)
        rows = chain.append(entries)
        if ended is not None:
            _attempt_file(folder, ended).unlink(missing_ok=True)
    return rows


def outcome(entry: Entry, summary: Mapping[str, Any]) -> list[Entry]:
    """The rows of a finished artifact: where it decides which model serves, a second one says which.

    Args:
        summary: the artifact's own, as in its manifest.
    """
    if (entry.artifact or "").split("/")[0] != SERVING_ARTIFACT:
        return [entry]
    facts = {f"model_{name}": summary.get(name) for name in SERVING_FACTS}
    return [entry, replace(entry, event="put_in_service", details={**entry.details, **facts})]


def unfinished(folder: Path) -> list[str]:
    """The manifests of what is being made now, or was by processes that died; for who may not write here, without the lock."""
    found = []
    for path in _attempt_files(folder):
        # It may end meanwhile.
        with suppress(FileNotFoundError):
            found.append(_read(path)["manifest"])
    return found


def _left_behind(folder: Path, held: Place | None = None) -> list[Path]:
    """The attempts whose process is dead: nobody holds the artifact's lock, or the caller does."""
    own = None if held is None else _attempt_file(folder, held)
    return [path for path in _attempt_files(folder) if path == own or not _is_held(Path(_read(path)["lock"]))]


def _settle(chain: Chain, attempts: Sequence[Path]) -> None:
    """Write how each ended, then forget it."""
    chain.append([entry for path in attempts for entry in _how_it_ended(chain, _read(path))])
    for path in attempts:
        path.unlink(missing_ok=True)


def _how_it_ended(chain: Chain, attempt: Mapping[str, Any]) -> Iterator[Entry]:
    # Of another version of this program it may have other fields.
    known = {name: value for name, value in attempt["entry"].items() if name in ENTRY_FIELDS}
    entry = replace(Entry(**known), recovered=True)
    manifest = Path(attempt["manifest"])
    # By its bytes, not by time: clocks are set back.
    is_new = _digest(manifest) != attempt["manifest_before"]
    made = _read(manifest) if is_new else {}
    finished = made.get("fingerprint") == entry.fingerprint
    ended = outcome(entry, made["summary"]) if finished else [replace(entry, event="interrupted")]
    told = {row["event"] for row in chain.rows_after(attempt["after"]) if _is_of(row, entry)}
    # A failure that was told, then killed before it was forgotten here.
    if "failed" in told or "interrupted" in told:
        return
    yield from (item for item in ended if item.event not in told)


def _is_of(row: Row, entry: Entry) -> bool:
    return all(row.get(name) == getattr(entry, name) for name in ("profile", "artifact", "begun"))


def _attempt_file(folder: Path, place: Place) -> Path:
    name = hashlib.sha256(str(place.manifest).encode()).hexdigest()[:32]
    return folder / ATTEMPTS_FOLDER / f"{name}.json"


def _attempt_files(folder: Path) -> list[Path]:
    return sorted((folder / ATTEMPTS_FOLDER).glob("*.json"))


def _is_held(lock: Path) -> bool:
    try:
        # For writing: on NFS nobody else can take a lock.
        handle = open(lock, "r+")  # noqa: SIM115
    except FileNotFoundError:
        return False
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_bytes())
    return values
