"""Text of what is attached to notes, wherever in a FHIR export it lies."""

from __future__ import annotations

import base64
import contextlib
import mimetypes
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit

import orjson

from lang1_assets.ops.sources.fhir.elements import Element
from lang1_assets.ops.sources.fhir.links import Links
from lang1_assets.ops.sources.fhir.markup import UnreadableError, html_text

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


class Narrative(NamedTuple):
    text: str | None
    content_type: str | None
    reject_reason: str | None = None


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
