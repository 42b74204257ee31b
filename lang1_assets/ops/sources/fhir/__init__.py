"""FHIR R4 bulk exports as flat tables: `flatten_fhir`."""

from lang1_assets.ops.sources.fhir.flatten import FhirReport, flatten_fhir
from lang1_assets.ops.sources.fhir.lines import FhirError

__all__ = ["FhirError", "FhirReport", "flatten_fhir"]
