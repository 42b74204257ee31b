"""A rank's place from Slurm's variables. That ranks under a real Slurm find each other: tests/ops/pretraining/test_launches.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.training.slurm import first_node, join_slurm_step

STEP = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "16",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "40123",
    "SLURM_JOB_NODELIST": "gpu[03-06]",
    "SLURM_STEP_TASKS_PER_NODE": "4(x4)",
}
JOINED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE", "MASTER_ADDR", "MASTER_PORT")
PARTS = st.lists(
    st.one_of(
        st.from_regex(r"\A[a-z][a-z0-9-]{0,5}\Z").map(lambda text: (text, text)),
        st.lists(st.integers(0, 40), min_size=1, max_size=3).map(
            lambda numbers: ("[" + ",".join(f"{n:02d}-{n + 2:02d}" for n in numbers) + "]", f"{numbers[0]:02d}")
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(st.lists(PARTS, min_size=1, max_size=3))
def test_the_first_node_of_any_list(nodes: list[list[tuple[str, str]]]) -> None:
    """Names with any number of brackets; written out part by part as the second way."""
    written = ",".join("".join(compressed for compressed, _ in parts) for parts in nodes)
    assert first_node(written) == "".join(first for _, first in nodes[0])


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu1", "gpu1"),
        ("gpu1,gpu2", "gpu1"),
        ("gpu[003-005,009],login", "gpu003"),
        ("rack[0-1]node[7,9]", "rack0node7"),
        ("gpu[3]", "gpu3"),
    ],
)
def test_lists_as_slurm_writes_them(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_a_rank_of_srun_finds_its_place() -> None:
    environment = dict(STEP)
    join_slurm_step(environment)
    assert [environment[name] for name in JOINED] == ["5", "16", "1", "4", "gpu03", str(12_000 + 40_123 % 20_000)]


def test_a_launcher_s_variables_win() -> None:
    """A shell inside of a Slurm job has Slurm's variables too."""
    environment = {**STEP, "RANK": "0"}
    join_slurm_step(environment)
    assert environment == {**STEP, "RANK": "0"}


def test_outside_of_slurm_nothing_changes() -> None:
    environment = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf"}
    join_slurm_step(environment)
    assert environment == {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf"}


def test_an_address_that_somebody_set_is_kept() -> None:
    environment = {**STEP, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "2950"}
    join_slurm_step(environment)
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("10.0.0.1", "2950")


@pytest.mark.parametrize(("visible", "device"), [("3", "0"), ("0,1,2,3", "1"), ("", "1")])
def test_a_rank_that_sees_one_gpu_takes_it(visible: str, device: str) -> None:
    environment = {**STEP, "CUDA_VISIBLE_DEVICES": visible}
    join_slurm_step(environment)
    assert environment["LOCAL_RANK"] == device


def test_without_nodes_there_is_no_place_to_meet() -> None:
    environment = {name: value for name, value in STEP.items() if name != "SLURM_JOB_NODELIST"}
    with pytest.raises(ValueError, match="start the job with srun, or set MASTER_ADDR"):
        join_slurm_step(environment)
