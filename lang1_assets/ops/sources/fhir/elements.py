"""JSON objects of FHIR resources, every type checked where it is read."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from lang1_assets.ops.sources.fhir.lines import Line
from lang1_assets.ops.sources.fhir.times import period_clocks, wall_clock

TYPE_NAME = re.compile("[A-Z][A-Za-z]{1,63}")

Row = dict[str, str | None]


class MalformedLineError(ValueError):
    """A line is no resource."""


class MalformedResourceError(ValueError):
    """An element has another type than FHIR gives it. The message never holds the value."""


class Element:
    """A JSON object of a resource. What is absent is None or an empty element, so that a path can be followed to its end.

    Every method raises `MalformedResourceError` when the type is wrong. Text is stripped, and None when empty. Times are
    on the clock of `zone`, see `wall_clock`.
    """

    __slots__ = ("_values", "_zone")

    def __init__(self, values: dict[str, Any], zone: ZoneInfo | None = None) -> None:
        self._values = values
        self._zone = zone

    def __bool__(self) -> bool:
        return bool(self._values)

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None:
            return None
        # PostgreSQL has no text with NUL.
        if not isinstance(value, str) or "\0" in value:
            raise MalformedResourceError
        return value.strip() or None

    def boolean(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise MalformedResourceError
        return value

    def number(self, name: str) -> Decimal | None:
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise MalformedResourceError
        return Decimal(repr(value))

    def object(self, name: str) -> Element:
        value = self._values.get(name)
        if value is None:
            return NOTHING
        if not isinstance(value, dict):
            raise MalformedResourceError
        return Element(value, self._zone)

    def objects(self, name: str) -> list[Element]:
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise MalformedResourceError
        return [Element(each, self._zone) for each in value]

    def time(self, name: str) -> str | None:
        return wall_clock(self.text(name), self._zone)

    def start_and_end(self) -> tuple[str | None, str | None]:
        """Of a Period: see `period_clocks`."""
        return period_clocks(self.text("start"), self.text("end"), self._zone)

    def label(self) -> str | None:
        """Of a CodeableConcept: its text, else the first display, else the first code."""
        if text := self.text("text"):
            return text
        codings = self.objects("coding")
        displays = (coding.text(name) for name in ("display", "code") for coding in codings)
        return next(filter(None, displays), None)

    def codes(self, systems: tuple[str, ...] | None = None) -> list[str]:
        """Of a CodeableConcept, in order: the codes of some systems, or all."""
        codings = self.objects("coding")
        kept = codings if systems is None else [coding for coding in codings if coding.text("system") in systems]
        return [code for coding in kept if (code := coding.text("code"))]

    def reference_id(self, expected_type: str | None, owner: str | None = None) -> str | None:
        """Of a Reference: the id it points to; "Type/id" when that is of another type than the one expected.

        'Patient/1', 'https://server/Patient/1/_history/2', 'Patient?identifier=system|1' and a logical reference (an
        identifier alone) give '1', 'urn:uuid:1' too. A contained resource is '#x' behind the id of its owner: it matches
        nothing else.
        """
        reference = self.text("reference")
        if reference is None:
            return self.object("identifier").text("value")
        if reference.startswith("#"):
            return f"{owner or ''}{reference}"
        if reference.startswith("urn:"):
            return reference.rpartition(":")[2] or None
        path, _, condition = reference.partition("?")
        segments = [segment for segment in path.partition("/_history")[0].split("/") if segment]
        if condition:
            segments.append(re.split(r"[|=]", condition.partition("&")[0])[-1])
        found_type = segments[-2] if len(segments) > 1 else ""
        if expected_type and found_type != expected_type and TYPE_NAME.fullmatch(found_type):
            return "/".join(segments[-2:])
        return segments[-1] or None if segments else None


NOTHING = Element({})


def parsed(line: Line, zone: ZoneInfo | None = None) -> tuple[str, Element]:
    """The type, whatever it is, and the resource.

    Raises:
        MalformedLineError: the line is none.
    """
    try:
        values = orjson.loads(line.raw) if line.is_whole else None
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, dict) or not isinstance(values.get("resourceType"), str) or not values["resourceType"]:
        raise MalformedLineError
    return values["resourceType"], Element(values, zone)


def check_id(resource: Element) -> None:
    if resource.text("id") is None:
        raise MalformedLineError
