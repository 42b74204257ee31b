"""Real de-identified and published records, where a person has put them: `LANG1_OUTSIDE_DATA=FOLDER`."""

import os
from pathlib import Path

import pytest

OUTSIDE = Path(os.environ.get("LANG1_OUTSIDE_DATA", "/nowhere"))
needs_outside_data = pytest.mark.skipif(
    not OUTSIDE.is_dir(), reason="set LANG1_OUTSIDE_DATA to the folder with outside data"
)
