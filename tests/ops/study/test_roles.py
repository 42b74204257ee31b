"""Who is who among a profile's variants."""

from pathlib import Path

import pytest

from lang1_assets.ops.study.cells import Base
from lang1_assets.ops.study.roles import (
    architecture_pairs,
    finetuned_generalists_of,
    generalist_of,
    of_unknown_size,
    recent_pairs,
    scaled_generalists_of,
    size_pairs,
    untrained_of,
    web_pairs,
)
from tests.ops.study.planted import BASES, LARGE, studied


def names(pairs) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    return [(first.name, second.name) for first, second in pairs]


def test_each_part_is_played_by_what_a_variant_is(tmp_path: Path) -> None:
    held = studied(tmp_path, {})
    assert held.ours.name == "ours"
    assert generalist_of(held) == BASES[1]
    assert untrained_of(held) == BASES[2]
    assert names(size_pairs(held)) == [("small", "ours")]
    assert names(web_pairs(held)) == [("clinical", "ours")]
    assert names(recent_pairs(held)) == [("older", "clinical")]
    assert names(architecture_pairs(held)) == [("encoder", "older")]


def test_a_folder_is_the_generalist_where_nothing_else_read_web_text_alone(tmp_path: Path) -> None:
    folder = Base(name="llama", is_from_folder=True)
    held = studied(tmp_path, {}, bases=(BASES[0], folder))
    assert generalist_of(held) == folder
    assert generalist_of(studied(tmp_path, {}, bases=(BASES[0], folder, BASES[1]))) == BASES[1]


@pytest.mark.parametrize("num_parameters", [None, 900_000])
def test_a_size_that_is_unknown_or_nearly_the_same_is_no_other_size(tmp_path: Path, num_parameters: int | None) -> None:
    other = Base(name="other", corpora=BASES[0].corpora, num_parameters=num_parameters, shape="other")
    assert names(size_pairs(studied(tmp_path, {}, bases=(BASES[0], other)))) == []


def test_a_size_that_is_to_be_finetuned_and_is_not_known_is_missed(tmp_path: Path) -> None:
    large = Base(name="large", corpora=BASES[0].corpora, shape="large")
    missing = ["joint_evaluation/large"]
    assert [*of_unknown_size(studied(tmp_path, {}, bases=(BASES[0], large), missing=missing))] == [large]
    # Nobody asks for it; nothing of its text is there in another size.
    assert [*of_unknown_size(studied(tmp_path, {}, bases=(BASES[0], large)))] == []
    assert [*of_unknown_size(studied(tmp_path, {}, bases=(BASES[1], large), missing=missing))] == []


def test_ours_from_a_folder_is_no_generalist_beside_itself(tmp_path: Path) -> None:
    ours = Base(name="llama", is_from_folder=True)
    held = studied(tmp_path, {"llama/joint": 1.0, "scaled:llama/1000/100/10": 1.0}, bases=(ours,))
    assert generalist_of(held) is None
    assert finetuned_generalists_of(held) == []
    assert scaled_generalists_of(held) == []
    beside = studied(tmp_path, {"llama/joint": 1.0}, bases=(ours, BASES[1]))
    assert generalist_of(beside) == BASES[1]


def test_an_encoder_without_a_decoder_of_its_text_is_compared_with_ours(tmp_path: Path) -> None:
    encoder = Base(name="e", corpora=frozenset({"notes_plus"}), architecture="encoder", shape=LARGE)
    assert names(architecture_pairs(studied(tmp_path, {}, bases=(BASES[0], encoder)))) == [("e", "ours")]


def test_a_profile_without_controls_has_no_pairs(tmp_path: Path) -> None:
    held = studied(tmp_path, {}, bases=BASES[:1])
    assert generalist_of(held) is None
    assert untrained_of(held) is None
    assert [*size_pairs(held), *web_pairs(held), *recent_pairs(held), *architecture_pairs(held)] == []
