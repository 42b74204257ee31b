"""What every section of a profile shares: unknown fields are errors, values never change after they were read."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0)]
DateWindow = tuple[date, date]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def require_path(section: Any, kind: str, what: str) -> Any:
    if section.kind == kind and section.path is None:
        raise ValueError(f"kind '{kind}' needs path: {what}")
    if section.kind != kind and section.path is not None:
        raise ValueError(f"path is given, but kind is '{section.kind}'; set kind: {kind} or remove the path")
    return section
