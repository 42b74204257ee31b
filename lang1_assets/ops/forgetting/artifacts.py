"""What becomes of each artifact that holds people who are forgotten, and which models had seen them.

REMOVE   it holds their rows or text; the next run makes it again without them
THIN     a landed month: their rows go, and every file that nobody can be looked for in
RENAME   an evaluation: its rows stay, so that its numbers do; their ids become names that nothing leads back from
(model)  weights are neither removed nor changed: who had been seen is written down, and marked where models are registered
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from lang1_assets.ops.forgetting.search import TABLES, FoundRows, Identifiers, ends_in, find_in_folder

MANIFEST, PLAN = "artifact.json", "plan.json"
"""As the store of artifacts names them."""
RUN_ID_FILE = "mlflow_run_id"
"""As tracking names it."""
UNFINISHED_NAME = re.compile(r"\.(partial(-[0-9a-z]+)?|old|forgotten)$")
"""Of a folder beside the finished one: half-made, set aside, superseded, or half removed."""
MODELS = re.compile(r"(tokenizer$|pretrained_model/|finetuned_|scaled_model/|model_in_service)")
EXPORTS = "hospital_exports"
TOKENIZER = "tokenizer"
LANDED = "landed_export/"
TOKENS = re.compile(r"(notes|notes_plus)_tokens$")
NOTES = "clean_notes"
WAREHOUSE = "warehouse"


class Fate(StrEnum):
    KEEP = "keep"
    REMOVE = "remove"
    THIN = "thin"
    RENAME = "rename"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """One artifact's folder, finished or not."""

    profile: str
    name: str
    """Of the artifact, without what marks it as unfinished."""
    path: Path
    fingerprint: str | None = None
    """None while it is half-made."""
    planned: str | None = None
    """What the fingerprint is, or would have been; None where no plan is left."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_model(self) -> bool:
        return MODELS.match(self.name) is not None


@dataclass(frozen=True, kw_only=True)
class Judged:
    folder: Folder
    fate: Fate
    found: Sequence[FoundRows] = ()

    @property
    def num_rows(self) -> int:
        return sum(rows.num_rows for rows in self.found)


@dataclass(frozen=True, kw_only=True)
class SawThem:
    """A model that learned from, was chosen by or was measured on what is forgotten; or of which that cannot be ruled out."""

    profile: str
    name: str
    fingerprint: str
    mlflow_run_id: str | None
    rows: Mapping[str, int]
    """What it was made from -> rows of theirs in it."""
    is_certain: bool
    """False where what it was made from is no longer there, so that nobody can look."""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "rows": dict(self.rows)}


def find_folders(root: Path) -> list[Folder]:
    """Every artifact of every profile under `root`, half-made, superseded and half-removed ones among them."""
    if not root.is_dir():
        return []
    profiles = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    return [
        _read_folder(profile, Path(path))
        for profile in profiles
        for path, names, files in _walked(profile)
        if _is_artifact(Path(path), files, names) and Path(path) != profile
    ]


def _walked(profile: Path) -> Iterable[tuple[str, list[str], list[str]]]:
    """As `os.walk`, but not into artifacts."""
    for path, names, files in os.walk(profile):
        names.sort()
        yield path, names, files
        if Path(path) != profile and _is_artifact(Path(path), files, names):
            names.clear()


def _is_artifact(path: Path, files: Sequence[str], names: Sequence[str]) -> bool:
    """A folder with a manifest or a plan, one that is named as unfinished, or one that lost its manifest when its removal was
    cut off."""
    return (
        bool({MANIFEST, PLAN} & set(files))
        or bool(UNFINISHED_NAME.search(path.name))
        or any(not name.endswith(".lock") for name in files)
    )


def _read_folder(profile: Path, path: Path) -> Folder:
    name = str(path.relative_to(profile))
    manifest, plan = _read(path / MANIFEST), _read(path / PLAN)
    is_finished = {"fingerprint", "inputs", "summary"} <= set(manifest) and not UNFINISHED_NAME.search(name)
    made = manifest or plan
    return Folder(
        profile=profile.name,
        name=UNFINISHED_NAME.sub("", name),
        path=path,
        fingerprint=made["fingerprint"] if is_finished else None,
        planned=made.get("fingerprint"),
        inputs=made.get("inputs", {}),
        summary=made.get("summary", {}),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def judge(folders: Sequence[Folder], who: Identifiers) -> list[Judged]:
    """What becomes of each folder; token ids and raw exports, in which nobody can be looked for, go with what was made from
    them or what they were made from."""
    searched = {folder.path: find_in_folder(folder.path, who) for folder in folders}
    return [
        Judged(folder=folder, fate=_fate(folder, folders, searched), found=searched[folder.path]) for folder in folders
    ]


def _fate(folder: Folder, folders: Sequence[Folder], searched: Mapping[Path, Sequence[FoundRows]]) -> Fate:
    found = searched[folder.path]
    if folder.path.name.endswith(".forgotten"):
        return Fate.REMOVE
    if folder.name.startswith(LANDED) and folder.fingerprint is not None:
        return _fate_of_month(folder, found)
    if folder.fingerprint is None and not folder.is_model and _holds_unsearched(folder.path):
        return Fate.REMOVE
    if folder.is_model or (found and all(rows.has_only_numbers for rows in found)):
        return Fate.RENAME if any(rows.is_readable for rows in found) else Fate.KEEP
    if found:
        return Fate.REMOVE
    beside = {NOTES} if TOKENS.match(folder.name) else {WAREHOUSE} if folder.name == EXPORTS else set()
    if beside and _has_data(folder.path):
        kin = [other for other in folders if other.profile == folder.profile and _is_kin(folder, other, beside)]
        if not kin or any(searched[other.path] for other in kin):
            return Fate.REMOVE
    return Fate.KEEP


def _is_kin(folder: Folder, other: Folder, names: Set[str]) -> bool:
    """Whether one was made of the other, as that is now: what was made since may be without somebody whom the earlier one held."""
    made_of = {(other.name, other.fingerprint), (folder.name, folder.fingerprint)}
    return other.name in names and not made_of.isdisjoint({*folder.inputs.items(), *other.inputs.items()})


def _fate_of_month(folder: Folder, found: Sequence[FoundRows]) -> Fate:
    """Files that cannot be searched, as FHIR and X12, go alone: what is read of them was flattened."""
    if not found and not unsearched_files(folder.path):
        return Fate.KEEP
    return Fate.THIN if all(rows.is_readable for rows in found) else Fate.REMOVE


def unsearched_files(month: Path) -> list[Path]:
    """Of a landed month whatever is no table; what a thinning that was cut off has left beside them, too."""
    files = (file for file in sorted(month.rglob("*")) if file.is_file() or file.is_symlink())
    return [file for file in files if not ends_in(file, TABLES) and file not in (month / MANIFEST, month / PLAN)]


def _has_data(path: Path) -> bool:
    """Whether it holds anything beside JSON: a hospital's own exports are only linked."""
    return any(file.is_file() and not file.is_symlink() and file.suffix != ".json" for file in path.rglob("*"))


def _holds_unsearched(path: Path) -> bool:
    """Whether what a killed run left half-made has a file that nobody can look into, such as a table under its name beside."""
    if UNFINISHED_NAME.search(path.name) is None:
        return False
    files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    return any(not ends_in(file, (*TABLES, ".json")) for file in files)


def models_that_saw(folders: Sequence[Folder], judged: Sequence[Judged]) -> list[SawThem]:
    """Every model with what of theirs it was made from, the model in service by the one that it is a copy of.

    A half-made one is told by the name of its folder: training goes on from its checkpoints.
    """
    rows = {(one.folder.profile, one.folder.name): one for one in judged if one.folder.fingerprint}
    seen = []
    for folder in folders:
        if not folder.is_model or (folder.fingerprint is None and not _has_data(folder.path)):
            continue
        original = _original(folder, folders)
        held, is_certain = _held_by_inputs(original, rows, set()) if original and original.planned else ({}, False)
        if held or not is_certain:
            seen.append(
                SawThem(
                    profile=folder.profile,
                    name=folder.name if folder.fingerprint else _name_of_folder(folder),
                    fingerprint=str(folder.summary.get("fingerprint", folder.planned or "unknown")),
                    mlflow_run_id=(original or folder).summary.get("mlflow_run_id") or _run_id(folder.path),
                    rows=held,
                    is_certain=is_certain,
                )
            )
    return seen


def _name_of_folder(folder: Folder) -> str:
    """With what marks it as unfinished."""
    return str(Path(folder.name).with_name(folder.path.name))


def _run_id(folder: Path) -> str | None:
    """Of MLflow, as training keeps it while it goes on."""
    try:
        return (folder / RUN_ID_FILE).read_text() or None
    except OSError:
        return None


def _original(folder: Folder, folders: Sequence[Folder]) -> Folder | None:
    """The model that a copy in service was made from, or the model itself; None if that one is no longer there."""
    if not folder.name.startswith("model_in_service") or folder.fingerprint is None:
        return folder
    known = folder.summary.get("fingerprint")
    return next((one for one in folders if one.fingerprint == known and one.profile == folder.profile), None)


def _held_by_inputs(
    folder: Folder, known: Mapping[tuple[str, str], Judged], passed: set[str]
) -> tuple[dict[str, int], bool]:
    """Rows of theirs in whatever a model was made from, by artifact and split; and whether all of that is still there as it
    was."""
    held: dict[str, int] = {}
    is_certain = True
    for name, fingerprint in folder.inputs.items():
        # The tables are behind everything; which of their rows a model read is in the artifacts between. A vocabulary, which is
        # named by itself, is no text: a model of web text has read no note by it.
        if name in passed or name in {WAREHOUSE, EXPORTS, TOKENIZER}:
            continue
        passed.add(name)
        source = known.get((folder.profile, name))
        if source is None or source.folder.fingerprint != fingerprint:
            is_certain = False
            continue
        texts = [rows for rows in source.found if rows.has_text]
        for split, number in (pair for rows in texts for pair in rows.by_split.items()):
            place = f"{name}/{split}" if split else name
            held[place] = held.get(place, 0) + number
        if not texts:
            further, sure = _held_by_inputs(source.folder, known, passed)
            held |= further
            is_certain = is_certain and sure
    return held, is_certain
