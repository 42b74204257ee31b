"""The embedded hospital: synthetic tables, notes and web text, with the probability behind every label.

Everything here is invented. See `docs/embedded-hospital.md` for the generative model.
"""

from lang1_assets.ops.hospital.config import ExportSummary, HospitalConfig, HospitalConfigError
from lang1_assets.ops.hospital.export import write_exports, write_month_export
from lang1_assets.ops.hospital.web_text import WebTextSummary, write_web_text

__all__ = [
    "ExportSummary",
    "HospitalConfig",
    "HospitalConfigError",
    "WebTextSummary",
    "write_exports",
    "write_month_export",
    "write_web_text",
]
