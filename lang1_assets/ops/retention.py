"""What is older than it may be: found first, removed only when asked to, each after it was written down.

    landed_files   the fetched files of a landed month, so many days after its last evaluation, once nobody needs them for a label
    superseded     earlier revisions of landed months, and half-made work that was set aside
    job_logs       logs of training jobs, and what Dagster kept of the output of steps
    generations    what models wrote while they were trained

Labels, evaluations, models and the audit are never removed here. A file that is taken out of an artifact goes from its
manifest too, so that the artifact is as finished as before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from lang1_assets.ops.forgetting.artifacts import MANIFEST, UNFINISHED_NAME, Folder, find_folders
from lang1_assets.ops.forgetting.removal import nobody_makes, put_in_place, remove_folder
from lang1_assets.ops.forgetting.subjects import ForgettingError

LANDED_FILES, SUPERSEDED, JOB_LOGS, GENERATIONS = "landed_files", "superseded", "job_logs", "generations"
RULES = (LANDED_FILES, SUPERSEDED, JOB_LOGS, GENERATIONS)
LOG_FOLDERS = ("dagster", "serve/dagster")
"""DAGSTER_HOME under the home: of commands and `make ui`, and of `lang1 serve` and the containers."""
EXPORT, COHORTS, EVALUATION, HISTORY = "landed_export", "landed_cohorts", "landed_evaluation", "landed_history"


@dataclass(frozen=True, kw_only=True)
class Expired:
    """One file or folder that is older than its rule allows."""

    rule: str
    path: Path
    age_days: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What there is of one profile."""

    folders: Mapping[str, Folder]
    """Finished artifacts, by name."""
    recipes: Sequence[str]
    """Models that are asked about every landed month."""


def expired(home: Path, profile: str, recipes: Sequence[str], days: Mapping[str, int], now: datetime) -> list[Expired]:
    """Everything that is at least as old as its rule says; of a rule without a number of days nothing.

    Args:
        days: rule -> days.
        now: with a time zone.
    """
    folders = [folder for folder in find_folders(home / "artifacts") if folder.profile == profile]
    finished = {folder.name: folder for folder in folders if folder.fingerprint is not None}
    kept = Kept(folders=finished, recipes=recipes)
    found: list[Expired] = []
    for rule, paths in (
        (LANDED_FILES, evaluated_files(kept)),
        (SUPERSEDED, superseded(folders)),
        (JOB_LOGS, job_logs(home, kept)),
        (GENERATIONS, generations(kept)),
    ):
        if rule in days:
            aged = [(path, (now - since).days) for path, since in paths]
            found += [
                Expired(rule=rule, path=path, age_days=age, num_bytes=_size(path))
                for path, age in aged
                if age >= days[rule]
            ]
    return found


def evaluated_files(kept: Kept) -> Iterator[tuple[Path, datetime]]:
    """Fetched exports of months that every model was evaluated on as they are labelled now, with the time of the last evaluation.

    An export is also what says how earlier months went on: none goes before the labels of its own and of every earlier month are
    ripe and were made of the exports that are there now. A correction stays until it is labelled and evaluated.
    """
    months = sorted(name.partition("/")[2] for name in kept.folders if name.startswith(f"{EXPORT}/"))
    for number, month in enumerate(months):
        export, cohorts = kept.folders[f"{EXPORT}/{month}"], kept.folders.get(f"{COHORTS}/{month}")
        ripe = [
            _is_ripe(held)
            for name, held in kept.folders.items()
            if name.startswith(f"{COHORTS}/") and name[-7:] < month
        ]
        current = [_is_labelled(kept, earlier, export) for earlier in months[: number + 1]]
        done = [kept.folders.get(f"{EVALUATION}/{month}/{recipe}") for recipe in kept.recipes]
        if cohorts is None or not _is_ripe(cohorts) or not all(ripe) or not all(current):
            continue
        if all(one is not None and one.summary["cohorts"] == cohorts.fingerprint for one in done):
            yield export.path, max(_created(one.path) for one in done if one is not None)


def _is_labelled(kept: Kept, month: str, later: Folder) -> bool:
    """Whether a month's labels were made of its export as it is, and of a later one as that is, if of that at all."""
    export, cohorts = kept.folders[f"{EXPORT}/{month}"], kept.folders.get(f"{COHORTS}/{month}")
    if cohorts is None:
        return False
    content = later.summary["content"]
    return (
        all(cohorts.summary["export"][fact] == export.summary[fact] for fact in ("content", "covers_until"))
        and cohorts.summary["followed_by"].get(later.name.partition("/")[2], content) == content
    )


def _is_ripe(cohorts: Folder) -> bool:
    return all(told["ripe"] for told in cohorts.summary["tasks"].values())


def superseded(folders: Sequence[Folder]) -> Iterator[tuple[Path, datetime]]:
    """Earlier revisions and evaluations of landed months, and what was half-made and set aside."""
    for folder in folders:
        is_aside = UNFINISHED_NAME.search(folder.path.name) and not folder.path.name.endswith(".partial")
        if is_aside or folder.name.startswith(f"{HISTORY}/"):
            yield folder.path, _modified(folder.path)


def job_logs(home: Path, kept: Kept) -> Iterator[tuple[Path, datetime]]:
    """Of finished jobs, whose artifact says when it was made; of Dagster's steps, by the file's own time."""
    for folder in kept.folders.values():
        if (folder.path / "job.log").is_file():
            yield folder.path / "job.log", _created(folder.path)
    for place in LOG_FOLDERS:
        for logs in sorted((home / place / "storage").glob("*/compute_logs")):
            yield logs, _modified(logs)


def generations(kept: Kept) -> Iterator[tuple[Path, datetime]]:
    for folder in kept.folders.values():
        if (folder.path / "generations.jsonl").is_file():
            yield folder.path / "generations.jsonl", _created(folder.path)


def remove_expired(found: Sequence[Expired], write_down: Callable[[Expired], None]) -> None:
    """Write each down and remove it before the next one: killed between the two, it is found and written down again.

    Raises:
        ForgettingError: artifacts are just being made; everything else is written down and removed.
    """
    busy = []
    for one in found:
        try:
            _remove(one.path, partial(write_down, one))
        except ForgettingError:
            busy.append(one.path)
    if busy:
        listed = ", ".join(map(str, busy))
        raise ForgettingError(f"{listed}: a run is making it; it stays until retention is applied when that has ended")


def _remove(path: Path, write_down: Callable[[], None]) -> None:
    if path.is_file():
        with nobody_makes(path.parent):
            write_down()
            put_in_place(path.parent, {path: None})
    elif path.name == "compute_logs":
        write_down()
        shutil.rmtree(path)
    else:
        remove_folder(path, write_down)


def line_of(home: Path, one: Expired) -> str:
    return f"{one.rule}: {one.path.relative_to(home)}, {one.age_days} days, {one.num_bytes:,} bytes"


def _created(path: Path) -> datetime:
    return datetime.fromisoformat(json.loads((path / MANIFEST).read_text())["created"])


def _modified(path: Path) -> datetime:
    """Of the newest file in it."""
    times = [file.stat().st_mtime for file in path.rglob("*") if file.is_file()]
    return datetime.fromtimestamp(max(times, default=path.stat().st_mtime)).astimezone()


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
