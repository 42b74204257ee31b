from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.sources.fhir.builders import (
    Json,
    amount_of,
    concept_of,
    eob_of,
    flatten_files,
    only_row,
)

REVIEW_ACTION = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction"


def test_a_claim_in_full(tmp_path: Path) -> None:
    claim = eob_of(
        status="active",
        patient={"reference": "Patient/p1"},
        created="2021-04-05",
        disposition="Settled",
        item=[
            {
                "encounter": [{"reference": "Encounter/e1"}],
                "adjudication": [amount_of("eligible", 120.0, "45", "Ar002")],
            },
            {"detail": [{"subDetail": [{"adjudication": [amount_of("COPAY", 5)]}]}]},
        ],
        total=[amount_of("submitted", 135.57), amount_of("benefit", 96.0)],
    )
    assert only_row(tmp_path, claim) == {
        "claim_id": "ExplanationOfBenefit/x1",
        "encounter_id": "e1",
        "subject_id": "p1",
        "resource_type": "ExplanationOfBenefit",
        "use": "claim",
        "status": "active",
        "outcome": "complete",
        "disposition": "Settled",
        "is_denied": "false",
        "total_submitted": "135.57",
        "total_benefit": "96.0",
        "adjudication_codes": "45|ar002|benefit|copay|eligible|submitted",
        "status_time": "2021-04-05 00:00:00",
        "source_line": "ExplanationOfBenefit.ndjson:1",
        "reject_reason": None,
    }


def test_the_encounter_of_a_claim_response_is_that_of_its_claim(tmp_path: Path) -> None:
    def response(number: str, reference: str) -> Json:
        return {"resourceType": "ClaimResponse", "id": number, "request": {"reference": reference}}

    claim = {"resourceType": "Claim", "id": "k1", "item": [{}, {"encounter": [{"reference": "Encounter/e1"}]}]}
    report, tables = flatten_files(
        tmp_path,
        {
            "ClaimResponse.ndjson": [response("1", "https://server/Claim/k1"), response("2", "Claim/k2")],
            "ExplanationOfBenefit.ndjson": [eob_of(claim={"reference": "Claim/k1"})],
            "Claim.ndjson": [claim],
        },
    )
    assert [(row["claim_id"], row["encounter_id"]) for row in tables["fhir_claims"]] == [
        ("ClaimResponse/1", "e1"),
        ("ClaimResponse/2", None),
        ("ExplanationOfBenefit/x1", "e1"),
    ]
    assert report.lookups_by_type == {"Binary": 0, "Claim": 1}


ACTION = {
    "url": REVIEW_ACTION,
    "extension": [{"url": "number"}, {"url": "code", "valueCodeableConcept": concept_of("A3")}],
}


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (eob_of(outcome="error"), "true"),
        (eob_of(total=[amount_of("denied", 100)]), "true"),
        (eob_of(item=[{"adjudication": [amount_of("DenialReason", None, "50")]}]), "true"),
        (eob_of(addItem=[{"adjudication": [amount_of("x", None, "denied")]}]), "true"),
        (eob_of(item=[{"detail": [{"adjudication": [amount_of("denied")]}]}]), "true"),
        (eob_of(error=[{"code": concept_of("denied")}]), "true"),
        (eob_of(item=[{"adjudication": [{**amount_of("submitted", 9), "extension": [ACTION]}]}]), "true"),
        (eob_of(adjudication=[amount_of("A3", system="https://codesystem.x12.org/005010/306")]), "true"),
        (eob_of(total=[amount_of("submitted", 100), amount_of("benefit", 0)]), "true"),
        (eob_of(total=[amount_of("submitted", 100)], payment={"amount": {"value": 0.0}}), "true"),
        (eob_of(item=[{"net": {"value": 10}, "adjudication": [amount_of("benefit", 0)]}]), "true"),
        (eob_of(total=[amount_of("benefit", 0), amount_of("noncovered", 80)]), "true"),
        # A payer that refuses one line of several pays for the others.
        (eob_of(total=[amount_of("benefit", 50)], item=[{"adjudication": [amount_of("denied")]}]), "false"),
        (eob_of(payment={"amount": {"value": 1}}, total=[amount_of("benefit", 0), amount_of("submitted", 9)]), "false"),
        # Covered, but below the deductible.
        (eob_of(total=[amount_of("submitted", 100), amount_of("benefit", 0), amount_of("deductible", 100)]), "false"),
        (eob_of(total=[amount_of("benefit", 0), amount_of("noncovered", 0)]), "false"),
        (eob_of(total=[amount_of("denied", 0), amount_of("benefit", 10)]), "false"),
        (eob_of(adjudication=[amount_of("A3")]), "false"),
        (eob_of(adjudication=[amount_of("eligible", 10)]), "false"),
        (eob_of(outcome="partial", total=[amount_of("benefit", 3)]), "false"),
        (eob_of(total=[amount_of("submitted", 0), amount_of("benefit", 0)]), "false"),
        (eob_of(total=[amount_of("submitted", 100)]), None),
        (eob_of(outcome="queued"), None),
        (eob_of(outcome="partial", adjudication=[amount_of("eligible")]), None),
        (eob_of(), None),
    ],
)
def test_what_counts_as_a_denial(tmp_path: Path, claim: Json, expected: str | None) -> None:
    row = only_row(tmp_path, claim)
    assert (row["is_denied"], row["reject_reason"]) == (expected, None)


def test_sums_of_items_stand_in_for_totals(tmp_path: Path) -> None:
    items = [
        {"adjudication": [amount_of("submitted", 0.1), amount_of("benefit", 0.1)], "net": {"value": 7}},
        {"adjudication": [amount_of("submitted", 0.2)], "detail": [{"adjudication": [amount_of("submitted", 9)]}]},
    ]
    row = only_row(tmp_path, eob_of(item=items))
    assert (row["total_submitted"], row["total_benefit"]) == ("0.3", "0.1")
