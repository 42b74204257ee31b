"""Who is forgotten: the list that extraction leaves out, and the record of each request, under `$LANG1_HOME/forgotten`.

    subjects.parquet   `subject_id` (text) of everybody forgotten; read by the SQL project, by its path
    unfinished.json    a request that has begun and not ended: with it an interrupted one is completed
    requests.jsonl     a line for each that has ended: when, who, what was removed, which models had seen them

The ids stay, because later exports bring the same people again; nothing else of them does. Files are mode 0600, the folder
0700. An id counts in every profile of the home: profiles of one home often read one hospital's records, and a person of another
hospital who has the same id by chance is left out too, which is the safe side.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import polars as pl

FOLDER = "forgotten"
LIST_FILE = "subjects.parquet"
UNFINISHED_FILE = "unfinished.json"
REQUESTS_FILE = "requests.jsonl"
MAX_CHARACTERS = 200


class ForgettingError(ValueError):
    """A request to forget somebody cannot be carried out; the message says what to do."""


def list_file(home: Path) -> Path:
    """The list, made empty where there is none: a path that is not there would stop every build."""
    path = forgotten_folder(home) / LIST_FILE
    if not path.exists():
        beside = _list_beside(path, [])
        # Not by renaming: somebody may be put on the list in this very moment, by another process.
        with suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    return path


def forgotten_folder(home: Path) -> Path:
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def forgotten_subjects(home: Path) -> tuple[str, ...]:
    """Ids in order; nobody where there is no list.

    Raises:
        ForgettingError: the list is there and cannot be read: nobody may come back because of that.
    """
    path = home / FOLDER / LIST_FILE
    if not path.exists():
        return ()
    try:
        return tuple(pl.read_parquet(path, columns=["subject_id"])["subject_id"].to_list())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ForgettingError(
            f"{path}: the list of forgotten people cannot be read ({type(error).__name__}); bring it back from a backup: "
            "without it they would come back with the next run"
        ) from None


def forgotten_digest(home: Path) -> str | None:
    """What a fingerprint holds of the list: a hash; None while nobody is forgotten."""
    subjects = forgotten_subjects(home)
    return hashlib.sha256("\n".join(subjects).encode()).hexdigest()[:16] if subjects else None


def left_out(home: Path) -> dict[str, str]:
    """What a fingerprint holds of people who are forgotten: nothing while nobody is."""
    digest = forgotten_digest(home)
    return {} if digest is None else {"forgotten": digest}


def add_subjects(home: Path, subjects: Iterable[str]) -> None:
    """On disk when this returns; a person who is there already stays there once."""
    path = list_file(home)
    _settle(_list_beside(path, sorted({*forgotten_subjects(home), *subjects})), path)


def _list_beside(path: Path, subjects: list[str]) -> Path:
    """A whole list under a name that no other process uses."""
    beside = path.with_name(f".{LIST_FILE}.{os.getpid()}")
    pl.DataFrame({"subject_id": subjects}, schema={"subject_id": pl.String}).write_parquet(beside)
    beside.chmod(0o600)
    return beside


def check_subject_ids(subjects: Iterable[str]) -> tuple[str, ...]:
    """The ids, each once.

    Raises:
        ForgettingError: one is empty, too long for an id, or has a line break. It is not repeated: it may be a line of a note.
    """
    asked = tuple(dict.fromkeys(subject.strip() for subject in subjects))
    for number, subject in enumerate(asked, start=1):
        if not subject or len(subject) > MAX_CHARACTERS or not subject.isprintable():
            raise ForgettingError(
                f"subject id {number} of {len(asked)}: expected 1 to {MAX_CHARACTERS} printable characters, found {len(subject)}"
                f"{'' if subject.isprintable() else ', some of them not printable'}"
            )
    return asked


def unfinished_request(home: Path) -> dict[str, Any] | None:
    """The request that has begun and not ended."""
    try:
        request: dict[str, Any] = json.loads((home / FOLDER / UNFINISHED_FILE).read_text())
    except FileNotFoundError:
        return None
    return request


def require_nothing_unfinished(home: Path) -> None:
    """Stop whoever would read or make records while somebody is half forgotten.

    Raises:
        ForgettingError: with the command that completes it.
    """
    if (home / FOLDER / UNFINISHED_FILE).exists():
        raise ForgettingError(
            f"{home / FOLDER / UNFINISHED_FILE}: people are being forgotten, or were when it was interrupted; wait for it, or "
            "complete it with: lang1 forget"
        )


def write_unfinished(home: Path, request: Mapping[str, Any]) -> None:
    path = forgotten_folder(home) / UNFINISHED_FILE
    beside = path.with_suffix(".tmp")
    _write_private(beside, json.dumps(request, indent=1))
    _settle(beside, path)


def end_request(home: Path, record: Mapping[str, Any]) -> None:
    """The record at the end of the list of requests, then the unfinished one goes. Killed between the two it is written twice,
    which says the same."""
    folder = forgotten_folder(home)
    with os.fdopen(os.open(folder / REQUESTS_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "rb+") as handle:
        size = handle.seek(0, os.SEEK_END)
        # A line that a crash tore off would swallow this one.
        is_torn = size > 0 and os.pread(handle.fileno(), 1, size - 1) != b"\n"
        handle.write(b"\n" * is_torn + json.dumps(record).encode() + b"\n")
        handle.flush()
        os.fsync(handle.fileno())
    (folder / UNFINISHED_FILE).unlink(missing_ok=True)


def ended_requests(home: Path) -> list[dict[str, Any]]:
    """Oldest first; a last line that was torn off by a crash never counted."""
    try:
        lines = (home / FOLDER / REQUESTS_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []
    read = []
    for line in lines:
        try:
            read.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return read


@contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Raises:
    ForgettingError: another process is forgetting somebody in this home.
    """
    with open(forgotten_folder(home) / "lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ForgettingError(
                f"{home}: another process is forgetting people here; wait until it has ended"
            ) from None
        yield


@contextmanager
def nobody_forgets(home: Path) -> Iterator[None]:
    """Keep requests to forget waiting while something is made: it may have read what a search of the home does not find yet.

    Raises:
        ForgettingError: people are being forgotten, or were when it was interrupted.
    """
    with _making(home) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ForgettingError(
                f"{home}: people are being forgotten here; wait until that has ended, and start the run again"
            ) from None
        require_nothing_unfinished(home)
        yield


@contextmanager
def nothing_is_made(home: Path) -> Iterator[None]:
    """Keep every artifact of the home from being made.

    Raises:
        ForgettingError: one is being made.
    """
    with _making(home) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ForgettingError(
                f"{home}: a run is making something here and may bring rows back; wait until it has ended, or stop it, then "
                "ask again"
            ) from None
        yield


def _making(home: Path) -> IO[str]:
    """Locked by many who make something, or by the one who forgets; for both it is opened for writing, as NFS wants it."""
    return os.fdopen(os.open(forgotten_folder(home) / "making.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)


def _settle(beside: Path, path: Path) -> None:
    """Whole and on disk under its name, or not there."""
    beside.chmod(0o600)
    with open(beside, "rb") as handle:
        os.fsync(handle.fileno())
    beside.rename(path)
