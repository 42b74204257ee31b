"""Segments of X12 files, whatever their delimiters and however they were cut."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

READ_BYTES = 1 << 20
MAXIMUM_SEGMENT_BYTES = 1 << 16
"""A segment of an 835 has at most some 2,000 bytes; of a longer one the rest is not kept in memory."""
ISA_BYTES = 106
"""ISA alone has a fixed width, because it says the delimiters."""
STARTS = (b"ISA", b"GS*", b"ST*")
"""How a file begins; without ISA its delimiters are `*` and `~`."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_BREAKS = b"\r\n"


class SegmentError(ValueError):
    """A segment cannot be used; the message is the reject reason alone, never what stands in the file."""


class Segment(NamedTuple):
    number: int
    """From 1, in the file."""
    raw: bytes
    separator: bytes
    is_whole: bool = True
    """False for what follows the last segment terminator of a file."""

    @property
    def id(self) -> str:
        return self.raw.partition(self.separator)[0].decode("ascii", "replace")

    def elements(self, *, minimum: int = 0, maximum: int = 16) -> list[str]:
        """The id, then `minimum` to `maximum` elements by their number in the standard, "" where there is none."""
        try:
            found = [element.decode().strip() for element in self.raw.split(self.separator)]
        except UnicodeDecodeError:
            raise SegmentError("malformed_segment") from None
        # PostgreSQL has no text with control characters; a line break within a segment has swallowed a terminator.
        is_text = "".join(found).isprintable()
        if not is_text or not minimum < len(found) <= maximum + 1 or "" in found[1 : minimum + 1]:
            raise SegmentError("malformed_segment")
        return found + [""] * (maximum + 1 - len(found))


def blocks(path: Path) -> Iterator[bytes]:
    with opened(path) as content:
        # Of a cut .gz, read1 gives what comes before the cut.
        while block := content.read1(READ_BYTES):
            yield block


def opened(path: Path) -> BufferedIOBase:
    """What its first bytes say counts, not its name: files are zipped and unzipped on their way."""
    with path.open("rb") as content:
        is_zipped = content.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_zipped else path.open("rb")


def segments(blocks: Iterable[bytes]) -> Iterator[Segment]:
    """Segments in order, empty ones left out; none when the bytes are not X12. Each ISA changes the delimiters."""
    data, number, delimiters = b"", 0, (b"*", b"~")
    for block in blocks:
        data = data + block if number else (data + block).removeprefix(BYTE_ORDER_MARK).lstrip()
        if number == 0 and not data.startswith(STARTS):
            if len(data) < len(BYTE_ORDER_MARK):
                continue
            return
        start = 0
        while True:
            start = after_line_breaks(data, start)
            if data.startswith(b"ISA", start):
                if len(data) < start + ISA_BYTES:
                    break
                delimiters = delimiters_of(data[start : start + ISA_BYTES]) or delimiters
            end = data.find(delimiters[1], start)
            if end < 0:
                break
            if end > start:
                number += 1
                yield Segment(number, data[start : min(end, start + MAXIMUM_SEGMENT_BYTES)], delimiters[0])
            start = end + 1
        data = data[start : start + MAXIMUM_SEGMENT_BYTES]
    if (number or data.startswith(STARTS)) and data.strip(b"\0\x1a \t\r\n"):
        yield Segment(number + 1, data, delimiters[0], is_whole=False)


def after_line_breaks(data: bytes, start: int) -> int:
    while start < len(data) and data[start] in LINE_BREAKS:
        start += 1
    return start


def delimiters_of(isa: bytes) -> tuple[bytes, bytes] | None:
    """Element separator and segment terminator; none when the segment is damaged. The other two delimit nothing read."""
    separator, terminator = isa[3:4], isa[105:106]
    is_damaged = isa.count(separator) != 16 or isa[103:104] != separator or not separator.isascii()
    if is_damaged or separator.isalnum() or terminator.isalnum() or terminator in (separator, b" "):
        return None
    return separator, terminator
