"""What the documents show is what the software takes."""

import re
from pathlib import Path

import pytest
import yaml

from lang1_assets.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent
# A task has a name too.
SECTIONS = {"extends", *Settings.model_fields} - {"name"}
BLOCKS = [
    pytest.param(block, id=f"{path.name}:{path.read_text()[: found.start()].count(chr(10)) + 1}")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for found in re.finditer(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    if set(yaml.safe_load(block := found[1])) & SECTIONS
]


def test_there_are_profiles_in_the_documents() -> None:
    assert len(BLOCKS) > 10


@pytest.mark.parametrize("block", BLOCKS)
def test_each_profile_of_the_documents_is_read(block: str, tmp_path: Path) -> None:
    """With what a part of a profile leaves to the rest of it."""
    named = {"extends": "tiny", "name": "ours", "description": "Our hospital", **yaml.safe_load(block)}
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump(named, sort_keys=False))
    assert load_settings(str(tmp_path / "ours.yaml")).name == named["name"]
