from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from lang1_assets.ops.sources.fhir import attachments, markup
from tests.ops.sources.fhir.builders import (
    HTML,
    Json,
    attachment_of,
    binary_of,
    document_of,
    flatten_files,
    line_of,
    narrative_of,
    rejects_of,
    section_of,
)

PDF, RTF = attachment_of(b"%PDF-1.7\n\xff", "application/pdf"), attachment_of(r"{\rtf1 Plan}", "text/rtf")


@pytest.mark.parametrize(
    ("attachments", "expected"),
    [
        ([PDF, HTML, attachment_of("From text")], ("From text", None)),
        ([PDF, RTF, HTML], ("From HTML", None)),
        ([HTML, attachment_of("<p>X</p>", "application/xhtml+xml")], ("From HTML", None)),
        ([attachment_of(b"\xff"), HTML], ("From HTML", None)),
        ([{"contentType": "text/plain"}, HTML], ("From HTML", None)),
        ([PDF, {"contentType": "text/plain"}], (None, "unreadable_format")),
        ([RTF], (None, "unreadable_format")),
        ([attachment_of("<ClinicalDocument/>", "application/hl7-v3+xml")], (None, "unreadable_format")),
        ([attachment_of(r" {\rtf1 Plan}")], (None, "unreadable_format")),
        ([attachment_of(b"%PDF-1.7", "text/html")], (None, "unreadable_format")),
        ([attachment_of("Plan.", None)], (None, "unreadable_format")),
        ([attachment_of("Plan.", "TEXT/Plain ;x=y")], ("Plan.", None)),
        ([attachment_of(" \n\t")], (None, "no_text")),
        ([attachment_of("")], (None, "no_text")),
        ([attachment_of("<html><head><title>T</title></head></html>", "text/html")], (None, "no_text")),
        ([{}], (None, "no_text")),
        ([], (None, "no_text")),
        ([{"contentType": "text/plain", "data": "UGxhbi4"}], (None, "invalid_base64")),
        ([{"contentType": "text/plain", "data": "Plan, not encoded."}], (None, "invalid_base64")),
        ([{"contentType": "text/plain", "data": "\N{MULTIPLICATION SIGN}"}], (None, "invalid_base64")),
        ([{"contentType": "text/plain", "data": "UGxh\nbi4=\r\n"}], ("Plan.", None)),
    ],
)
def test_the_best_format_that_can_be_read(
    tmp_path: Path, attachments: list[Json], expected: tuple[str | None, str | None]
) -> None:
    assert narrative_of(tmp_path, document_of(*attachments)) == expected


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        ("fi\xe8vre".encode(), "text/plain", "fi\xe8vre"),
        (b"\xef\xbb\xbffi\xc3\xa8vre", "text/plain; charset=UTF-8", "fi\xe8vre"),
        (b"fi\xe8vre", "text/plain; charset=ISO-8859-1", "fi\xe8vre"),
        (b"patient\x92s", "text/plain;charset='iso-8859-1'", "patient\N{RIGHT SINGLE QUOTATION MARK}s"),
        (
            b"patient\x92s",
            'text/plain; format=flowed; charset="windows-1252"',
            "patient\N{RIGHT SINGLE QUOTATION MARK}s",
        ),
        ("fi\xe8vre".encode("utf-16"), "text/plain; charset=utf-16", "fi\xe8vre"),
        ("<p>fi\xe8vre</p>".encode("latin-1"), "text/html; charset=latin1", "fi\xe8vre"),
        (b"fi\xe8vre", "text/plain", None),
        (b"fi\xe8vre", "text/plain; charset=us-ascii", None),
        (b"fievre", "text/plain; charset=x-unknown", None),
        (b"fievre", "text/plain; charset=hex", None),
        (b"fievre", "text/plain; charset=undefined", None),
        ("fievre".encode("utf-16-le"), "text/plain", None),
        (rb"\ud800", "text/plain; charset=unicode_escape", None),
        (b"+2AA-", "text/plain; charset=utf-7", None),
    ],
)
def test_character_sets(tmp_path: Path, content: bytes, content_type: str, expected: str | None) -> None:
    reason = None if expected else "undecodable_text"
    assert narrative_of(tmp_path, document_of(attachment_of(content, content_type))) == (expected, reason)


@pytest.mark.parametrize("url", ["Binary/b1", "https://server/fhir/Binary/b1", "Binary/b1/_history/2", "urn:uuid:b1"])
@pytest.mark.parametrize("name", ["Binary.ndjson", "Binary.ndjson.gz", "deep/all.ndjson"])
def test_text_in_binary_resources(tmp_path: Path, url: str, name: str) -> None:
    document = document_of({"contentType": "text/html", "url": url})
    first = b"\xef\xbb\xbf" + line_of(binary_of("x", binary_id="b0"))
    binaries: list[Json | bytes] = [first, binary_of("<b>Bl\xe4sse</b>".encode("cp1252"), "text/html; charset=cp1252")]
    report, tables = flatten_files(tmp_path, {"DocumentReference.ndjson": [document], name: [*binaries]})
    assert [row["narrative"] for row in tables["fhir_notes"]] == ["Bl\xe4sse"]
    assert report.lookups_by_type == {"Binary": 2, "Claim": 0}
    assert report.num_lines == 5


def test_the_type_of_an_attachment_may_be_that_of_its_binary_or_its_name(tmp_path: Path) -> None:
    attachments = [document_of({"url": "Binary/b1"}), document_of({"url": "a.html"}), document_of({"url": "a.pdf"})]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.html").write_text("<p>File</p>")
    (tmp_path / "in" / "a.pdf").write_text("File")
    _, tables = flatten_files(tmp_path, {"d.ndjson": [*attachments, binary_of("Text")]})
    found = [(row["narrative"], row["content_type"], row["reject_reason"]) for row in tables["fhir_notes"]]
    assert found == [("Text", "text/plain", None), ("File", "text/html", None), (None, None, "unreadable_format")]


@pytest.mark.parametrize(
    "url",
    [
        "https://server/notes/1.txt",
        "http://server/fhir/Binary/b2",
        "file:///etc/hostname",
        "/etc/hostname",
        "../secret.txt",
        "notes/../../secret.txt",
        "%2e%2e/secret.txt",
        "link.txt",
        "loop.txt",
        "notes",
        "Binary/b2",
        "missing.txt",
        "a" * 5000,
        "a%00b",
        "http://[",
        "data:text/plain,Plan",
        "#b1",
        ".",
        "/",
    ],
)
def test_nothing_outside_of_the_export_is_read(tmp_path: Path, url: str) -> None:
    (tmp_path / "in" / "notes").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "in" / "loop.txt").symlink_to(tmp_path / "in" / "loop.txt")
    document = document_of({"contentType": "text/plain", "url": url})
    assert narrative_of(tmp_path, document, binary_of("Other")) == (None, "attachment_not_in_export")


def test_text_in_files_beside_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "notes").mkdir(parents=True)
    (tmp_path / "in" / "notes" / "a b.txt").write_text("Plan.")
    (tmp_path / "in" / "large.txt").write_text("12345678")
    monkeypatch.setattr(attachments, "MAXIMUM_ATTACHMENT_BYTES", 7)
    documents = [document_of({"contentType": "text/plain", "url": url}) for url in ("notes/a%20b.txt", "large.txt")]
    _, tables = flatten_files(tmp_path, {"d.ndjson": [*documents]})
    assert [row["narrative"] for row in tables["fhir_notes"]] == ["Plan.", None]
    assert rejects_of(tables["fhir_notes"]) == {"d.ndjson:2": "attachment_too_large"}


def test_what_cannot_be_opened_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("Plan.")
    monkeypatch.setattr(Path, "read_bytes", broken)
    document = document_of({"contentType": "text/plain", "url": "a.txt"})
    assert narrative_of(tmp_path, document) == (None, "attachment_unreadable")


def test_markup_that_the_parser_gives_up_on_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(markup: str) -> str:
        raise etree.LxmlError("no")

    monkeypatch.setattr(markup, "without_cdata", broken)
    composition = {"resourceType": "Composition", "id": "k1", "section": [section_of("T", "<p>Plan.</p>")]}
    report = {"resourceType": "DiagnosticReport", "id": "r1", "presentedForm": [HTML]}
    _, tables = flatten_files(tmp_path, {"all.ndjson": [composition, report]})
    assert set(rejects_of(tables["fhir_notes"]).values()) == {"unreadable_format"}
    assert len(tables["fhir_notes"]) == 2
