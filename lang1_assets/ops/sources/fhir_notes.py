"""Notes of a FHIR export: DocumentReference, DiagnosticReport and Composition as rows with plain text.

HTML goes through lxml: it reads what browsers read, and no nesting is too deep and no text too long for it. The standard
library's html.parser takes twice as long (4 MB/s against 10, same text), and the square of the length where tags are
left unclosed.
"""

from __future__ import annotations

import base64
import contextlib
import html
import mimetypes
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

import orjson
from lxml import etree

if TYPE_CHECKING:
    from lang1_assets.ops.sources.fhir import Element, Links, Row

RESOURCE_TYPES = ("DocumentReference", "DiagnosticReport", "Composition")
COLUMNS = (
    "note_id",
    "encounter_id",
    "subject_id",
    "resource_type",
    "status",
    "doc_status",
    "type_codes",
    "type_text",
    "category_text",
    "department",
    "author_id",
    "written_time",
    "content_type",
    "replaced_by",
    "narrative",
)
LOINC = ("http://loinc.org", "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1")

PLAIN = ("text/plain",)
MARKUP = ("text/html", "application/xhtml+xml", "application/xhtml")
READABLE = (*PLAIN, *MARKUP)
"""Best first. RTF is not: the project has no library for it."""
OTHER_FORMATS = (b"%PDF-", b"{\\rtf", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
"""How they start, whatever their declared type."""
MAXIMUM_ATTACHMENT_BYTES = 1 << 27
CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)
CHARSETS = {"utf-8": "utf-8-sig", "utf8": "utf-8-sig", "iso-8859-1": "cp1252", "latin1": "cp1252"}
"""As browsers read them: what calls itself Latin-1 has the quotes and dashes of Windows in it."""
BINARY = re.compile(r"(?:.*/)?Binary/([^/?#]+)(?:/_history/[^/]*)?|urn:uuid:(.+)", re.DOTALL)

SKIPPED = frozenset({"head", "title", "script", "style", "template"})
PARAGRAPH, LINE, CELL, BREAK = "\x1d", "\x1e", "\x1f", "\x1c"
"""Control characters without meaning in a text."""
PARAGRAPH_TAGS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "pre", "blockquote", "hr")
LINE_TAGS = (
    "div",
    "li",
    "tr",
    "dt",
    "dd",
    "caption",
    "section",
    "article",
    "header",
    "footer",
    "address",
    "aside",
    "main",
)
BLOCK_MARKS = {**dict.fromkeys(PARAGRAPH_TAGS, PARAGRAPH), **dict.fromkeys(LINE_TAGS, LINE)}
START_MARKS = {**BLOCK_MARKS, "td": CELL, "th": CELL, "br": BREAK}
SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
GAP = re.compile(f" ?[{PARAGRAPH}{LINE}{CELL}{BREAK}][ {PARAGRAPH}{LINE}{CELL}{BREAK}]*")
PREFORMATTED = str.maketrans(" \t\n", "\x11\x12\x13")
UNFORMATTED = str.maketrans("\x11\x12\x13", " \t\n")
"""White space that stays as it is."""


class UnreadableError(ValueError):
    """There is no text; the message is the reject reason alone."""


class Narrative(NamedTuple):
    text: str | None
    content_type: str | None
    reject_reason: str | None = None


def note_id_of(note: Element) -> str:
    """Type and id, 'DocumentReference/7': FHIR ids are unique within a type alone, and some servers number all alike."""
    return f"{note.text('resourceType')}/{note.text('id')}"


def replaced_ids(note: Element) -> Iterator[str]:
    """Ids of notes that this one replaces."""
    resource_type = note.text("resourceType")
    for relation in note.objects("relatesTo"):
        target = relation.object("target") or relation.object("targetReference")
        if relation.text("code") == "replaces" and (found := target.reference_id(resource_type)):
            yield f"{resource_type}/{found}"


def note_row(note: Element, attachments: Attachments, links: Links) -> Row:
    """A row of `COLUMNS`, with a `reject_reason` when no text could be read. The others say what it is, still.

    - `no_text`: no attachment, or an empty one; a Composition without narrative;
    - `attachment_not_in_export`: it lies elsewhere; nothing is fetched from a server;
    - `attachment_too_large`: a file above `MAXIMUM_ATTACHMENT_BYTES`; `attachment_unreadable`: one that cannot be opened;
    - `invalid_base64`; `undecodable_text`: bytes that are not of the declared character set, UTF-8 without one;
    - `unreadable_format`: PDF, RTF, C-CDA, images and any other.

    Of several formats of one document, plain text comes first, then HTML; the next is tried when one cannot be read. A
    DiagnosticReport is its attachment and its conclusion, or either alone.
    """
    common = {
        "note_id": note_id_of(note),
        "subject_id": note.object("subject").reference_id("Patient", note.text("id")),
        "resource_type": note.text("resourceType"),
        "status": note.text("status"),
        "replaced_by": links.get("replaced", note_id_of(note)),
        "category_text": "|".join(filter(None, (each.label() for each in note.objects("category")))) or None,
    }
    # The first pass left a note with wrong types here out: it is a reject, so that no replaced note is kept without a word.
    list(replaced_ids(note))
    specific, narrative = READERS[note.text("resourceType") or ""](note, attachments)
    return {
        **common,
        **specific,
        "content_type": narrative.content_type,
        "narrative": narrative.text,
        "reject_reason": narrative.reject_reason,
    }


def _document_reference(note: Element, attachments: Attachments) -> tuple[Row, Narrative]:
    context, period = note.object("context"), note.object("context").object("period")
    files = [content.object("attachment") for content in note.objects("content")]
    created = (file.time("creation") for file in files)
    return {
        "encounter_id": first_of(context.objects("encounter"), "Encounter", note),
        "doc_status": note.text("docStatus"),
        **_type(note.object("type"), note.text("description")),
        "department": context.object("practiceSetting").label() or note.object("custodian").text("display"),
        "author_id": first_of(note.objects("author"), None, note),
        # When it was written, not the time of the care that it is about, which may be long before.
        "written_time": note.time("date")
        or next(filter(None, created), None)
        or period.time("end")
        or period.time("start"),
    }, attachments.best(files)


def _diagnostic_report(note: Element, attachments: Attachments) -> tuple[Row, Narrative]:
    period = note.object("effectivePeriod")
    authors = note.objects("resultsInterpreter") + note.objects("performer")
    performers = (performer.text("display") for performer in note.objects("performer"))
    effective = note.time("effectiveDateTime") or period.time("end") or period.time("start")
    return {
        "encounter_id": first_of([note.object("encounter")], "Encounter", note),
        **_type(note.object("code"), None),
        "department": next(filter(None, performers), None),
        "author_id": first_of(authors, None, note),
        # Of the report; `effective` is the time of the examination.
        "written_time": note.time("issued") or effective,
    }, with_conclusion(attachments.best(note.objects("presentedForm")), note.text("conclusion"))


def _composition(note: Element, attachments: Attachments) -> tuple[Row, Narrative]:
    try:
        text = "\n\n".join(filter(None, map(section_text, note.objects("section"))))
        narrative = Narrative(text, "application/xhtml+xml") if text else Narrative(None, None, "no_text")
    except UnreadableError as error:
        narrative = Narrative(None, None, str(error))
    return {
        "encounter_id": first_of([note.object("encounter")], "Encounter", note),
        **_type(note.object("type"), note.text("title")),
        "department": note.object("custodian").text("display"),
        "author_id": first_of(note.objects("author"), None, note),
        "written_time": note.time("date"),
    }, narrative


READERS: dict[str, Callable[[Element, Attachments], tuple[Row, Narrative]]] = {
    "DocumentReference": _document_reference,
    "DiagnosticReport": _diagnostic_report,
    "Composition": _composition,
}


def _type(concept: Element, title: str | None) -> Row:
    return {"type_codes": "|".join(concept.codes(LOINC)) or None, "type_text": concept.label() or title}


def first_of(references: Sequence[Element], expected_type: str | None, note: Element) -> str | None:
    """The first reference that is not to another type: the encounters of a document may be episodes of care."""
    found = (reference.reference_id(expected_type, note.text("id")) for reference in references)
    return next((each for each in found if each and "/" not in each), None)


def with_conclusion(report: Narrative, conclusion: str | None) -> Narrative:
    if conclusion is None or (report.text and conclusion in report.text):
        return report
    if report.text is None:
        return Narrative(conclusion, "text/plain")
    return Narrative(f"{report.text}\n\n{conclusion}", report.content_type)


def section_text(section: Element) -> str:
    """Title, text and nested sections, blank lines between; empty without any text. JSON nests 512 sections at most."""
    title = section.text("title") or section.object("code").label()
    markup = section.object("text").text("div")
    parts = [html_text(markup)] if markup else []
    for child in section.objects("section"):
        parts.append(section_text(child))
    body = "\n\n".join(filter(None, parts))
    return f"{title}\n{body}" if title and body else body


class Attachments:
    """The bytes of attachments: within the note, in a Binary resource of the export, or in a file of its folder."""

    def __init__(self, folder: Path, links: Links, spool: Path) -> None:
        self._folder = folder.resolve()
        self._links = links
        self._spool: BinaryIO = spool.open("w+b")

    def __enter__(self) -> Attachments:
        return self

    def __exit__(self, *error: object) -> None:
        self._spool.close()

    def keep(self, binary_id: str, name: str | None, offset: int, raw: bytes) -> None:
        """Remember where a Binary resource is: at an offset of a file, or, without a name, from now on in the spool."""
        if name is None:
            offset = self._spool.seek(0, os.SEEK_END)
            self._spool.write(raw)
        self._links.put("binary", binary_id, f"{offset}:{len(raw)}:{name or ''}")

    def best(self, files: Sequence[Element]) -> Narrative:
        """The text of the best format that can be read, else the reason why the best one cannot."""
        ranked = sorted(files, key=lambda file: rank(file.text("contentType")))
        reasons = []
        for file in ranked:
            try:
                return self.read(file)
            except UnreadableError as error:
                reasons.append(str(error))
        # An empty attachment says less than one that is there.
        reason = next((reason for reason in reasons if reason != "no_text"), "no_text")
        return Narrative(None, ranked[0].text("contentType") if ranked else None, reason)

    def read(self, file: Element) -> Narrative:
        """One attachment.

        Raises:
            UnreadableError: as `note_row` lists.
        """
        declared = file.text("contentType")
        if not file.text("data") and not file.text("url"):
            raise UnreadableError("no_text")
        if declared and media_type(declared) not in READABLE:
            raise UnreadableError("unreadable_format")
        content, found = self._content(file)
        content_type = declared or found or ""
        if not content:
            raise UnreadableError("no_text")
        if media_type(content_type) not in READABLE or content[:64].lstrip().startswith(OTHER_FORMATS):
            raise UnreadableError("unreadable_format")
        text = decoded(content, CHARSET.search(declared or "") or CHARSET.search(found or ""))
        text = html_text(text) if media_type(content_type) in MARKUP else text
        if not text or text.isspace():
            raise UnreadableError("no_text")
        return Narrative(text, content_type)

    def _content(self, file: Element) -> tuple[bytes, str | None]:
        """Bytes, and their type as the place where they lie has it."""
        if data := file.text("data"):
            return decoded_base64(data), None
        url = file.text("url") or ""
        named = BINARY.fullmatch(url)
        place = self._links.get("binary", named[1] or named[2]) if named else None
        try:
            return self._binary(place) if place else self._file(url)
        except OSError:
            raise UnreadableError("attachment_unreadable") from None

    def _binary(self, place: str) -> tuple[bytes, str | None]:
        offset, length, name = place.split(":", 2)
        with contextlib.nullcontext(self._spool) if not name else (self._folder / name).open("rb") as content:
            content.seek(int(offset))
            values = orjson.loads(content.read(int(length)))
        return decoded_base64(values.get("data") or ""), values.get("contentType")

    def _file(self, url: str) -> tuple[bytes, str | None]:
        """A path within the export's folder, links followed; never one outside, and no address."""
        path = self._inside(url)
        if path is None:
            raise UnreadableError("attachment_not_in_export")
        if path.stat().st_size > MAXIMUM_ATTACHMENT_BYTES:
            raise UnreadableError("attachment_too_large")
        return path.read_bytes(), mimetypes.guess_type(path.name)[0]

    def _inside(self, url: str) -> Path | None:
        try:
            path = self._folder if urlsplit(url).scheme else (self._folder / unquote(url)).resolve()
            return path if path.is_relative_to(self._folder) and path.is_file() else None
        except (OSError, ValueError, RuntimeError):
            # No such name can exist, or links go round in circles.
            return None


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def rank(content_type: str | None) -> int:
    """Readable formats by preference, then what has to be looked at, then the rest."""
    media = media_type(content_type or "")
    return READABLE.index(media) if media in READABLE else len(READABLE) + bool(media)


def decoded_base64(data: str) -> bytes:
    try:
        # FHIR allows white space in it.
        return base64.b64decode("".join(data.split()), validate=True)
    except ValueError:
        raise UnreadableError("invalid_base64") from None


def decoded(content: bytes, charset: re.Match[str] | None) -> str:
    name = charset[1].lower() if charset else "utf-8"
    try:
        text = content.decode(CHARSETS.get(name, name))
        # Some codecs give halves of surrogate pairs, which no file can hold; NUL is the mark of another character set.
        if (text.isascii() or text.encode()) and "\0" not in text:
            return text
    except (UnicodeError, LookupError, ValueError):
        pass
    raise UnreadableError("undecodable_text")


def html_text(markup: str) -> str:
    """Text of HTML or XHTML as a browser shows it, in lines: paragraphs have a blank line between, cells a tab.

    Raises:
        UnreadableError: the parser gave up.
    """
    parser = etree.HTMLParser(target=TextTarget(), encoding="utf-8", huge_tree=True)
    try:
        parser.feed(without_cdata(markup).encode())
        text: str = parser.close()
    except etree.LxmlError:
        raise UnreadableError("unreadable_format") from None
    return text


def without_cdata(markup: str) -> str:
    """XHTML may have text in CDATA sections, which HTML takes for comments."""
    first, *others = markup.split("<![CDATA[")
    parts = (other.partition("]]>") for other in others)
    return first + "".join(html.escape(inside) + after for inside, _, after in parts)


class TextTarget:
    """Collects text from the parser's events, with marks for what breaks it: cheaper than looking back at each event."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._num_skipped = 0
        self._num_preformatted = 0

    def start(self, tag: str, attributes: object) -> None:
        if tag in START_MARKS:
            self._parts.append(START_MARKS[tag])
        self._num_skipped += tag in SKIPPED
        self._num_preformatted += tag == "pre"

    def end(self, tag: str) -> None:
        if tag in BLOCK_MARKS:
            self._parts.append(BLOCK_MARKS[tag])
        self._num_skipped -= tag in SKIPPED
        self._num_preformatted -= tag == "pre"

    def data(self, text: str) -> None:
        if not self._num_skipped:
            self._parts.append(text.translate(PREFORMATTED) if self._num_preformatted else text)

    def close(self) -> str:
        single = SPACES.sub(" ", "".join(self._parts))
        broken = GAP.sub(lambda found: gap(found[0]), single)
        return broken.translate(UNFORMATTED).strip()


@lru_cache(maxsize=1024)
def gap(marks: str) -> str:
    """What stands between two texts for the marks that were between them."""
    num_breaks = max(2 * (PARAGRAPH in marks), int(LINE in marks), marks.count(BREAK))
    return "\n" * num_breaks or "\t"
