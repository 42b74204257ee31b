"""Patients of a FHIR export as rows."""

from __future__ import annotations

from lang1_assets.ops.sources.fhir.elements import Element, Row
from lang1_assets.ops.sources.fhir.times import wall_clock

COLUMNS = ("subject_id", "birth_date", "sex", "race", "ethnicity", "city", "deceased")
SEXES = {"male": "M", "female": "F"}
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"


def patient_row(patient: Element) -> Row:
    gender, is_deceased = patient.text("gender"), patient.boolean("deceasedBoolean")
    # A day of the calendar wherever one is: midnight in UTC, as some servers write it, is not the day before.
    birth_date = wall_clock(patient.text("birthDate"))
    return {
        "subject_id": patient.text("id"),
        "birth_date": birth_date.removesuffix(" 00:00:00") if birth_date else None,
        "sex": SEXES.get(gender, gender) if gender else None,
        "race": us_core_text(patient, "us-core-race"),
        "ethnicity": us_core_text(patient, "us-core-ethnicity"),
        "city": city_of(patient.objects("address")),
        "deceased": patient.time("deceasedDateTime") or (None if is_deceased is None else str(is_deceased).lower()),
    }


def us_core_text(patient: Element, name: str) -> str | None:
    """Of a US Core extension: its text, else the displays of its categories."""
    for extension in patient.objects("extension"):
        if extension.text("url") == US_CORE + name:
            parts = extension.objects("extension")
            texts = [part.text("valueString") for part in parts if part.text("url") == "text"]
            categories = [part.object("valueCoding") for part in parts if part.text("url") == "ombCategory"]
            displays = [category.text("display") or category.text("code") for category in categories]
            return next(filter(None, texts), None) or "; ".join(filter(None, displays)) or None
    return None


def city_of(addresses: list[Element]) -> str | None:
    """A home before others, an old address last."""
    order = {"home": 0, "old": 2}
    ranked = sorted(addresses, key=lambda address: order.get(address.text("use") or "", 1))
    return next(filter(None, (address.text("city") for address in ranked)), None)
