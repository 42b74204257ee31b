"""Notes of a FHIR export: DocumentReference, DiagnosticReport and Composition as rows with plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lang1_assets.ops.sources.fhir.attachments import Attachments, Narrative
from lang1_assets.ops.sources.fhir.elements import Element, Row
from lang1_assets.ops.sources.fhir.links import Links
from lang1_assets.ops.sources.fhir.markup import UnreadableError, html_text

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
