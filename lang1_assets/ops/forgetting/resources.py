"""People taken out of a FHIR export before it is flattened.

A line stays where something reads its type and it names nobody who is forgotten. The text of a note may lie in a Binary resource
or in a file, which name nobody: it stays where a note that stays refers to it. A line that is no resource, or in which whose it is
cannot be read, stays as `{}`: a reject, as it would have been.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from lang1_assets.ops.forgetting.search import TABLES, ends_in
from lang1_assets.ops.sources.fhir.attachments import BINARY
from lang1_assets.ops.sources.fhir.elements import Element, MalformedLineError, MalformedResourceError, parsed
from lang1_assets.ops.sources.fhir.lines import SUFFIXES, FhirError, Line, is_zipped, read_lines
from lang1_assets.ops.sources.fhir.tables import TABLE_OF_TYPE

UNREADABLE = b"{}\n"


@dataclass(frozen=True, kw_only=True)
class Staying:
    """What decides about a line."""

    subjects: frozenset[str]
    stays: frozenset[str] = frozenset()
    """Of these people."""
    attached: frozenset[str] | None = None
    """Ids of Binary resources that notes of others refer to; None: not known yet."""

    def holds(self, line: Line) -> dict[str, Any] | None:
        """The resource; None where it goes.

        Raises:
            MalformedLineError: it is none.
            MalformedResourceError: whose it is cannot be read.
        """
        kind, resource = parsed(line)
        own = resource.text("id") or ""
        if kind == "Binary":
            goes = self.attached is not None and own not in self.attached
        else:
            values: dict[str, Any] = orjson.loads(line.raw)
            people = [own] if kind == "Patient" else _told(values, "Patient", ("subject", "patient"))
            stays = [own] if kind == "Encounter" else _told(values, "Encounter", ("encounter",))
            stays = [*stays, *_told(values.get("context"), "Encounter", ("encounter",))]
            goes = not self.subjects.isdisjoint(people) or not self.stays.isdisjoint(stays)
        return None if goes or kind not in TABLE_OF_TYPE else orjson.loads(line.raw)


def thin_resources(folder: Path, subjects: Sequence[str]) -> dict[str, int]:
    """Rewrite the NDJSON files of an export without these people, and remove every file that nothing reads any more.

    Returns:
        File -> lines that went, theirs and those that nothing reads; nothing where there is no NDJSON. An export with a file that
        is no whole gzip file stays as it is: flattening refuses it.
    """
    files = [path for path in sorted(folder.rglob("*")) if ends_in(path, SUFFIXES) and path.is_file()]
    counts: dict[str, int] = {}
    if not files:
        return counts
    who = Staying(subjects=frozenset(subjects))
    try:
        stays = frozenset(stay for file in files for stay in _stays_of(file, who))
        who = Staying(subjects=who.subjects, stays=stays)
        urls = {url for file in files for one in _kept(file, who) for url in _urls(one)}
        binaries = (found[1] or found[2] for url in urls if (found := BINARY.fullmatch(url)))
        who = Staying(subjects=who.subjects, stays=stays, attached=frozenset(binaries))
        for file in files:
            if gone := _rewrite(file, who):
                counts[str(file.relative_to(folder))] = gone
    except FhirError:
        return counts
    referred = {unquote(url) for url in urls}
    for path in sorted(folder.rglob("*")):
        is_read = ends_in(path, (*SUFFIXES, *TABLES)) or path.relative_to(folder).as_posix() in referred
        if path.is_file() and not is_read:
            path.unlink()
    return counts


def _stays_of(file: Path, who: Staying) -> Iterator[str]:
    """Ids of the encounters that go."""
    for line in read_lines(file):
        if b"Encounter" in line.raw:
            try:
                kind, resource = parsed(line)
                if kind == "Encounter" and (own := resource.text("id")) and who.holds(line) is None:
                    yield own
            except (MalformedLineError, MalformedResourceError):
                continue


def _kept(file: Path, who: Staying) -> Iterator[dict[str, Any]]:
    for line in read_lines(file):
        try:
            if held := who.holds(line):
                yield held
        except (MalformedLineError, MalformedResourceError):
            continue


def _rewrite(file: Path, who: Staying) -> int:
    """The number of lines that went; the file is whole, or as it was."""
    beside = file.with_name(f".{file.name}.thinned")
    gone = 0
    with gzip.open(beside, "wb") if is_zipped(file) else beside.open("wb") as kept:
        for line in read_lines(file):
            try:
                stays = who.holds(line) is not None
                kept.write(line.raw.rstrip(b"\n") + b"\n" if stays else b"")
                gone += not stays
            except (MalformedLineError, MalformedResourceError):
                kept.write(UNREADABLE)
    beside.chmod(file.stat().st_mode & 0o777)
    beside.rename(file)
    return gone


def _told(values: Any, kind: str, names: Sequence[str]) -> list[str]:
    """Ids of a type that these elements refer to, one or many each.

    Raises:
        MalformedResourceError: an element is no reference.
    """
    if not isinstance(values, dict):
        return []
    found = []
    for name in names:
        held = values.get(name)
        for one in held if isinstance(held, list) else [] if held is None else [held]:
            if not isinstance(one, dict):
                raise MalformedResourceError
            if told := Element(one).reference_id(kind):
                found.append(told)
    return found


def _urls(resource: dict[str, Any]) -> Iterator[str]:
    """Of whatever is attached to a note."""
    contents = resource.get("content"), resource.get("presentedForm")
    for one in (each for held in contents if isinstance(held, list) for each in held if isinstance(each, dict)):
        attached = one.get("attachment", one)
        if isinstance(attached, dict) and isinstance(attached.get("url"), str):
            yield attached["url"].strip()
