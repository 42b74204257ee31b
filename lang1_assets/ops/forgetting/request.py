"""One request to forget people, from what it will do to its record; cut off anywhere, the same request goes on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lang1_assets.ops.forgetting.artifacts import Fate, Judged, SawThem, find_folders, judge, models_that_saw
from lang1_assets.ops.forgetting.removal import (
    UnreadableError,
    remove_databases,
    remove_folder,
    remove_writings,
    rename_rows,
    thin_out,
)
from lang1_assets.ops.forgetting.search import Identifiers, data_files, find_identifiers
from lang1_assets.ops.forgetting.subjects import (
    ForgettingError,
    add_subjects,
    check_subject_ids,
    ended_requests,
    forgotten_subjects,
    unfinished_request,
    write_unfinished,
)

ARTIFACTS, DATABASES = "artifacts", "warehouse"
PASSES = 3
"""Something that a run leaves behind while people are forgotten is found by the next pass; what comes after three is an error."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What would become of a home."""

    who: Identifiers
    present: frozenset[str]
    """People of whom any file has a row."""
    judged: Sequence[Judged]
    models: Sequence[SawThem]

    @property
    def to_do(self) -> list[Judged]:
        return [one for one in self.judged if one.fate is not Fate.KEEP]

    def of(self, fate: Fate) -> list[Judged]:
        return [one for one in self.judged if one.fate is fate]


def survey(home: Path, who: Identifiers) -> Survey:
    """Search every artifact of every profile of the home."""
    folders = find_folders(home / ARTIFACTS)
    files = [file for folder in folders for file in data_files(folder.path)]
    found, present = find_identifiers(files, who.subjects)
    who = who | found
    judged = judge(folders, who)
    return Survey(who=who, present=present, judged=judged, models=models_that_saw(folders, judged))


def begin(home: Path, asked: Iterable[str], *, absent_too: bool, now: datetime) -> dict[str, Any]:
    """The request as it is kept until it ends, what an unfinished one asked for included; the list has everybody.

    Args:
        absent_too: also people of whom nothing here has a row.

    Raises:
        ForgettingError: nobody is asked for, or somebody of whom there is nothing here, who may be a typing error.
    """
    earlier = unfinished_request(home)
    subjects = check_subject_ids(asked)
    if not subjects and earlier is None:
        raise ForgettingError("nobody to forget: give subject ids, or a file with one a line")
    before = earlier or {"begun": now.isoformat(timespec="seconds"), "salt": secrets.token_hex(32)}
    who = Identifiers(
        subjects=frozenset({*subjects, *before.get("subjects", ())}),
        notes=frozenset(before.get("notes", ())),
        encounters=frozenset(before.get("encounters", ())),
    )
    found = survey(home, who)
    absent = len(set(subjects) - found.present - set(forgotten_subjects(home)))
    if absent and not absent_too:
        raise ForgettingError(
            f"{absent} of {len(subjects)} people: nothing here has a row of theirs. Check the ids: of a mistyped one, the person "
            "who was meant stays. If the ids are right and later records may bring them, add --absent"
        )
    request = before | {
        "subjects": sorted(who.subjects),
        "notes": sorted(found.who.notes),
        "encounters": sorted(found.who.encounters),
        # What was found before anything went: afterwards nobody can tell any more.
        "models": _together(before.get("models", ()), [model.to_json() for model in found.models]),
        "removed": _together(
            before.get("removed", ()), [_named(one) for fate in (Fate.REMOVE, Fate.THIN) for one in found.of(fate)]
        ),
        "renamed": _together(before.get("renamed", ()), [_named(one) for one in found.of(Fate.RENAME)]),
    }
    write_unfinished(home, request)
    add_subjects(home, who.subjects)
    return request


def take_out(home: Path, request: Mapping[str, Any], on_progress: Callable[[str], None]) -> None:
    """Until a search of the whole home finds nothing more.

    Raises:
        ForgettingError: a run is making something, or goes on leaving rows behind.
    """
    who = Identifiers(
        subjects=frozenset(request["subjects"]),
        notes=frozenset(request["notes"]),
        encounters=frozenset(request["encounters"]),
    )
    for path in remove_databases(home / DATABASES):
        on_progress(f"removed {path.relative_to(home)}")
    seen = {(model["profile"], model["name"]) for model in request["models"]}
    for folder in find_folders(home / ARTIFACTS):
        # A half-made one is in no list of models: whatever it had read by then, it may have them by heart.
        may_have_seen = folder.fingerprint is None or (folder.profile, folder.name) in seen
        if folder.is_model and may_have_seen and remove_writings(folder.path):
            on_progress(f"removed what {folder.profile}/{folder.name} wrote while it was trained")
    for _ in range(PASSES):
        found = survey(home, who)
        if not found.to_do:
            return
        for one in found.to_do:
            _carry_out(one, found.who, request["salt"])
            on_progress(line_of(one))
    left = ", ".join(f"{one.folder.profile}/{one.folder.name}" for one in survey(home, who).to_do)
    if left:
        raise ForgettingError(
            f"{left}: still there after {PASSES} passes; stop the runs that make it, then go on with: lang1 forget"
        )


def _carry_out(one: Judged, who: Identifiers, salt: str) -> None:
    if one.fate is Fate.THIN:
        try:
            thin_out(one.folder.path, one.found, who)
        except UnreadableError:
            remove_folder(one.folder.path)
    elif one.fate is Fate.REMOVE:
        remove_folder(one.folder.path)
    else:
        rename_rows(one.folder.path, one.found, who, salt)


def record_of(request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What is kept of a request that has ended: no note and no stay, and nothing that leads from a new name to an old one."""
    kept = ("begun", "subjects", "removed", "renamed", "models")
    return {name: request[name] for name in kept} | {"ended": now.isoformat(timespec="seconds")}


def forgotten_by_model(home: Path, request: Mapping[str, Any]) -> dict[str, int]:
    """Fingerprint -> people of the requests, earlier ones too, that found the model to have seen any of theirs, or maybe."""
    people: dict[str, set[str]] = {}
    for one in [*ended_requests(home), request]:
        for model in one["models"]:
            people.setdefault(model["fingerprint"], set()).update(one["subjects"])
    return {fingerprint: len(held) for fingerprint, held in people.items()}


def _together(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By name and fingerprint, each once; what was found first counts: later less is there to look at."""
    known = {(str(one["profile"]), str(one["name"]), str(one["fingerprint"])): one for one in [*second, *first]}
    return [known[key] for key in sorted(known)]


def _named(one: Judged) -> dict[str, Any]:
    folder = one.folder
    return {"profile": folder.profile, "name": folder.name, "fingerprint": folder.fingerprint, "rows": one.num_rows}


def line_of(one: Judged) -> str:
    """What becomes of an artifact, for people."""
    done = {Fate.REMOVE: "removed", Fate.THIN: "rows taken out of"}.get(one.fate, "rows made nameless in")
    return f"{done} {one.folder.profile}/{one.folder.name} ({one.num_rows:,} rows)"


def lines_of(found: Survey) -> list[str]:
    """The whole of what would be done, for people; no id."""
    lines = [f"rows of {len(found.present)} of {len(found.who.subjects)} people are here; {len(found.who.notes)} notes"]
    for fate, words in (
        (Fate.REMOVE, "to be removed, and made again by the next run"),
        (Fate.THIN, "rows to be taken out, with files that are no tables"),
        (Fate.RENAME, "ids to be replaced"),
    ):
        lines += [f"{words}: {one.folder.profile}/{one.folder.name}, {one.num_rows:,} rows" for one in found.of(fate)]
    return lines + [model_line(model.to_json()) for model in found.models]


def model_line(model: Mapping[str, Any]) -> str:
    rows = ", ".join(f"{number} in {place}" for place, number in sorted(model["rows"].items()))
    told = rows or "what it was made from is no longer here: taken as having seen them"
    doubt = "" if model["is_certain"] or not rows else "; more may have been in what is no longer here"
    return f"has seen them: {model['profile']}/{model['name']} ({model['fingerprint']}): {told}{doubt}"
