"""Where the files of `infra` are, and the programs of this machine that judge them."""

import os
import shutil
import sys
from pathlib import Path

import pytest

INFRA = Path(__file__).parents[1] / "infra"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found
