"""What `make study` makes, in which order, and what it says is left."""

from pathlib import Path

import dagster as dg
import pytest

from lang1_assets.cli import agenda
from lang1_assets.cli.clock import Clock
from lang1_assets.cli.lanes import Entry, Report
from lang1_assets.definitions import build_definitions
from lang1_assets.settings import load_settings


def test_each_entry_is_an_asset_of_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And has the partitions that are asked for."""
    monkeypatch.setenv("LANG1_HOME", str(tmp_path))
    settings = load_settings("tiny")
    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    for entry in agenda.agenda(settings):
        for key in agenda.keys_of(entry, definitions):
            node = graph.get(key)
            assert node.is_partitioned == (entry.partition is not None), entry
            if entry.partition is not None:
                assert node.partitions_def is not None
                assert entry.partition in node.partitions_def.get_partition_keys()


def test_everything_comes_after_what_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG1_HOME", str(tmp_path))
    settings = load_settings("tiny")
    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    order = [key for entry in agenda.agenda(settings) for key in agenda.keys_of(entry, definitions)]
    last = {key: position for position, key in enumerate(order)}
    for key, position in last.items():
        for parent in graph.get(key).parent_keys & last.keys():
            if (
                graph.get(parent).is_partitioned == graph.get(key).is_partitioned
                or not graph.get(parent).is_partitioned
            ):
                first_child = order.index(key)
                assert order.index(parent) < first_child or parent in agenda.keys_of(
                    Entry(asset="records"), definitions
                )
            else:
                assert last[parent] < position, (parent, key)


def test_an_encoder_is_not_asked_what_only_a_decoder_can_answer() -> None:
    settings = load_settings("tiny")
    (encoder,) = (name for name, variant in settings.variants.items() if variant.architecture == "encoder")
    assets = list(agenda.assets_of(settings, encoder))
    assert "finetuned_readmission" in assets
    assert not {"zero_shot_evaluation", "answer_perplexity", "finetuned_joint"} & set(assets)


def test_a_profile_with_variants_of_its_own_gets_what_the_demo_makes(tmp_path: Path) -> None:
    """It inherits no study of variants that it does not have; the studies of its main one are made all the same."""
    (tmp_path / "ours.yaml").write_text("extends: tiny\nname: ours\nvariants: {ours: {mixture: {notes: 1}}}\n")
    assets = list(agenda.assets_of(load_settings(str(tmp_path / "ours.yaml")), "ours"))
    assert {"finetuned_joint", "joint_evaluation", "trajectory_evaluation", "answer_perplexity"} <= set(assets)


def test_variants_are_made_side_by_side_between_the_records_and_what_compares_them() -> None:
    entries = agenda.agenda(load_settings("tiny"))
    before, beside, after = agenda.stages(entries)
    made = [entry for stage in (before, beside, after) for group in stage for entry in group]
    assert sorted(made, key=str) == sorted(entries, key=str)
    assert before[0][0].asset == "records"
    assert {entry.asset for group in after for entry in group} >= {"claims", "leaderboard", "model_card", "report"}
    for group in beside:
        assert len({entry.partition for entry in group}) == 1
    # In the order of the agenda inside a group, the longest first.
    main = [entry.asset for entry in beside[0]]
    assert main[0] == "pretrained_model"
    assert main.index("finetuned_joint") < main.index("joint_evaluation")
    assert len(main) == max(map(len, beside))


def test_the_chart_says_how_much_is_done_and_left(tmp_path: Path) -> None:
    one, two = (Entry(asset="finetuned_joint", partition=key) for key in ("a", "b"))
    clock = Clock(file=tmp_path / "seconds.json", known={one.title: 600.0, two.title: 600.0})
    chart = agenda.Chart(entries=[one, two], clock=clock, num_lanes=2)
    begins = Report(lane=2, entry=two, state="begins")
    assert chart.line(begins) == "\n2| [0 of 2 done] finetuned_joint, b; about 10 min if nothing is reused"
    chart.note(Report(lane=1, entry=one, state="failed"))
    assert chart.failed == [one]
    assert "[1 of 2 done]" in chart.line(begins)
    assert "about 5 min" in chart.line(begins)


def test_a_stop_is_told_from_a_failure() -> None:
    """Which asset it was in: a failure goes on with the next entry, a stop does not."""

    @dg.asset
    def stopped() -> None:
        raise dg.Failure("the job was stopped") from dg.DagsterExecutionInterruptedError()

    @dg.asset
    def failed() -> None:
        raise ValueError("something else")

    for asset, expected in ((stopped, True), (failed, False)):
        job = dg.Definitions(assets=[asset]).resolve_implicit_global_asset_job_def()
        assert agenda.was_interrupted(job.execute_in_process(raise_on_error=False)) is expected
