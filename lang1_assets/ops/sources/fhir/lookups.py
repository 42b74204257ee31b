"""The first pass over a FHIR export: what rows take from other resources, in whatever order those come."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from lang1_assets.ops.sources.fhir import claims, notes
from lang1_assets.ops.sources.fhir.attachments import Attachments
from lang1_assets.ops.sources.fhir.elements import Element, MalformedLineError, MalformedResourceError, check_id, parsed
from lang1_assets.ops.sources.fhir.lines import is_zipped, read_lines
from lang1_assets.ops.sources.fhir.links import Links

LOOKUP_TYPES = ("Binary", "Claim")
"""Have no rows of their own: notes take their text, and decisions on claims their encounter, from there."""
FIRST_KEY = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"([A-Z][A-Za-z]{1,63})"')
"""Nearly every server writes the type first; a resource of an unread type is then skipped without parsing it."""


def collect_links(files: Iterable[Path], folder: Path, links: Links, attachments: Attachments) -> None:
    """The first pass: where Binary resources are, which note replaces which, and the encounters of submitted claims."""
    for path in files:
        for line in read_lines(path):
            found = FIRST_KEY.match(line.raw)
            if found and found[1].decode() not in LOOKUP_TYPES and b'"relatesTo"' not in line.raw:
                continue
            # The second pass makes rejects of those.
            with contextlib.suppress(MalformedLineError, MalformedResourceError):
                resource_type, resource = parsed(line)
                if resource_type == "Binary":
                    check_lookup(resource, resource_type)
                    name = None if is_zipped(path) else path.relative_to(folder).as_posix()
                    attachments.keep(resource.text("id") or "", name, line.offset, line.raw)
                else:
                    put_links(resource, resource_type, links)


def put_links(resource: Element, resource_type: str, links: Links) -> None:
    check_id(resource)
    if resource_type == "Claim":
        if encounter_id := claims.encounter_of(resource):
            links.put("claim", resource.text("id") or "", encounter_id)
    elif resource_type in notes.RESOURCE_TYPES:
        for replaced_id in notes.replaced_ids(resource):
            links.put("replaced", replaced_id, notes.note_id_of(resource))


def check_lookup(resource: Element, resource_type: str) -> None:
    """A wrong type is a reject here too, in the table of those who refer to it."""
    check_id(resource)
    if resource_type == "Claim":
        claims.encounter_of(resource)
    else:
        resource.text("data")
        resource.text("contentType")
