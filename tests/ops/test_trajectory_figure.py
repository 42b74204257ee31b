import io

import pytest
from PIL import Image

from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.trajectory import TrajectoryRow
from lang1_assets.ops.trajectory_figure import trajectory_picture


def rows() -> list[TrajectoryRow]:
    names = [("comprehension", 0.25), *((task, 0.5) for task in TASKS)]
    return [
        TrajectoryRow(
            checkpoint=f"tokens-{tokens:015d}",
            tokens=tokens,
            name=name,
            metric="auroc",
            value=chance + 0.01 * number,
            low=chance - 0.05,
            high=chance + 0.09,
            n=100,
            num_events=20,
            chance=chance,
        )
        for tokens in (0, 500_000, 2_400_000)
        for number, (name, chance) in enumerate(names)
    ]


@pytest.mark.parametrize("wide", [True, False])
def test_fig_3_names_every_task_chance_and_that_it_is_synthetic(wide: bool) -> None:
    drawn = trajectory_picture(rows(), "ours", "2024 test", is_synthetic=True, wide=wide, form="svg").decode()
    for words in ("Synthetic data", "chance", "2024 test", "Comprehension", *(task.title for task in TASKS.values())):
        assert words in drawn
    real = trajectory_picture(rows(), "ours", "2024 test", is_synthetic=False, wide=wide, form="svg").decode()
    assert "ynthetic" not in real


def test_on_a_desktop_the_panels_stand_side_by_side() -> None:
    sizes = []
    for wide in (True, False):
        drawn = trajectory_picture(rows(), "ours", "test set", is_synthetic=True, wide=wide)
        assert len(drawn) < 150_000
        sizes.append(Image.open(io.BytesIO(drawn)).size)
    assert sizes[0][0] > 2 * sizes[1][0]
    assert sizes[0][1] < 0.7 * sizes[1][1]


def test_each_set_of_questions_has_a_part() -> None:
    sciq = [TrajectoryRow({**row, "name": "sciq"}) for row in rows() if row["name"] == "comprehension"]  # type: ignore[misc]
    drawn = trajectory_picture(
        [*rows(), *sciq], "ours", "2024 test", is_synthetic=True, wide=False, form="svg"
    ).decode()
    for words in (
        "SciQ along pretraining",
        "Comprehension along pretraining",
        "Zero-shot prediction along pretraining",
    ):
        assert words in drawn


def test_a_part_without_rows_is_left_out() -> None:
    only = [row for row in rows() if row["name"] == "comprehension"]
    drawn = trajectory_picture(only, "ours", "test set", is_synthetic=True, wide=True, form="svg").decode()
    assert "Zero-shot" not in drawn


def test_one_checkpoint_of_random_weights_can_be_drawn() -> None:
    first = [row for row in rows() if row["tokens"] == 0]
    assert trajectory_picture(first, "ours", "test set", is_synthetic=False, wide=False)
