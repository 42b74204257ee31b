import json
import stat
from pathlib import Path

from lang1_assets.ops.pretraining.generations import PROMPTS, write_generations


def test_a_step_that_is_taken_again_stands_there_once(tmp_path: Path) -> None:
    path = tmp_path / "generations.jsonl"
    for step, text in ((4, "a"), (8, "b"), (12, "c"), (8, "again")):
        write_generations(path, step, [text] * len(PROMPTS))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["step"], row["text"]) for row in rows] == [(4, "a")] * len(PROMPTS) + [(8, "again")] * len(PROMPTS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["generations.jsonl"]
