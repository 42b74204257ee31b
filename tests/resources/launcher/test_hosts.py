"""Hosts of a file: what the file may say, what a host must have, and two of them that are both this machine."""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from deepspeed.launcher.runner import _parse_hostfile
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.resources.launcher.hosts import Host, passed_on, probe, read_hostfile
from lang1_assets.resources.launcher.jobs import LaunchError
from lang1_assets.resources.launcher.processes import free_port
from lang1_assets.settings.launch import Launch
from tests.resources.launcher.running import all_gone, in_process, install_ssh, left_over, rank_pids, run_job, wait_for

NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9.-]{0,12}\Z")


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of `ssh`, which would need a server."""
    folder = tmp_path / "bin"
    folder.mkdir()
    install_ssh(folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def hostfile(folder: Path, text: str) -> Path:
    path = folder / "hostfile"
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def read_text(text: str) -> list[Host]:
    with tempfile.TemporaryDirectory() as folder:
        return read_hostfile(hostfile(Path(folder), text))


@given(slots=st.dictionaries(NAMES, st.integers(1, 64), min_size=1, max_size=8), data=st.data())
def test_what_deepspeed_reads_is_read_alike(slots: dict[str, int], data: st.DataObject) -> None:
    lines = []
    for name, count in slots.items():
        lines += data.draw(st.sampled_from([[], ["# a comment"], [""]]))
        lines.append(f"{name}{data.draw(st.sampled_from([' ', '   ', chr(9)]))}slots={count}")
    hosts = read_text("\n".join(lines))
    assert {host.name: host.slots for host in hosts} == dict(_parse_hostfile(lines)) == slots
    numbers = [number for number, line in enumerate(lines, start=1) if "slots" in line]
    assert [int(host.where.rpartition(" ")[2]) for host in hosts] == numbers


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_explained(text: str) -> None:
    try:
        hosts = read_text(text)
    except LaunchError as error:
        problem = str(error)
        hosts = []
    else:
        problem = "slots"
    assert "slots" in problem or "named before" in problem
    assert all(host.slots > 0 and not host.name.startswith("-") for host in hosts)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gpu-1 slots=8\ngpu-2", r"line 2: 'gpu-2' is no host; expected a host's name and its ranks"),
        ("gpu-1:8", r"line 1: 'gpu-1:8' is no host"),
        ("gpu-1 slots=eight", r"line 1: .* is no host"),
        ("-oProxyCommand=x slots=8", r"line 1: .* is no host"),
        ("gpu-1 slots=0", r"line 1: host 'gpu-1' has no slots; give it at least 1, or remove the line"),
        ("gpu-1 slots=8\n\ngpu-1 slots=4", r"line 3: host 'gpu-1' was named before \(.*line 1\)"),
        ("# nothing\n", r"hostfile: no host in it; expected"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(LaunchError, match=problem):
        read_hostfile(hostfile(tmp_path, text))


def test_all_wrong_lines_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(LaunchError) as error:
        read_hostfile(hostfile(tmp_path, "a\nb slots=0\nc slots=2\n"))
    assert [line.partition(", ")[2][:6] for line in str(error.value).splitlines()] == ["line 1", "line 2"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=r"launch.hostfile .*nowhere: No such file"):
        read_hostfile(tmp_path / "nowhere")


def test_hosts_that_cannot_be_used_are_named_with_their_lines(tmp_path: Path, ssh: None) -> None:
    hosts = read_hostfile(hostfile(tmp_path, "localhost slots=1\nnowhere slots=2\nelsewhere slots=2\n"))
    (tmp_path / "job.json").touch()
    with pytest.raises(LaunchError) as error:
        probe(hosts, (), tmp_path / "job.json")
    assert "line 2: host 'nowhere' cannot be used over ssh (ssh: Could not resolve hostname" in str(error.value)
    assert "line 3: host 'elsewhere'" in str(error.value)
    assert "localhost" not in str(error.value)


def test_a_host_that_does_not_see_the_job_s_folder_is_named(tmp_path: Path, ssh: None) -> None:
    host = Host(name="localhost", slots=1, where="hostfile, line 1")
    with pytest.raises(LaunchError, match=r"line 1: host 'localhost' does not see .*job.json; LANG1_HOME must lie on"):
        probe([host], (), tmp_path / "job.json")


def test_more_slots_than_gpus_are_refused(tmp_path: Path, ssh: None) -> None:
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: H100'; echo 'GPU 1: H100'\n")
    driver.chmod(stat.S_IRWXU)
    (tmp_path / "job.json").touch()
    fits, does_not = (Host(name="localhost", slots=slots, where="hostfile, line 1") for slots in (2, 3))
    assert probe([fits], (), tmp_path / "job.json")["localhost"].gpus == 2
    with pytest.raises(LaunchError, match=r"line 1: host 'localhost' has 2 GPUs for 3 slots; lower the slots"):
        probe([does_not], (), tmp_path / "job.json")


def test_secrets_stay_here() -> None:
    here = {
        "NCCL_DEBUG": "INFO",
        "HF_TOKEN": "x",
        "HF_HUB_OFFLINE": "1",
        "LANG1_POSTGRES_PASSWORD": "x",
        "HOME": "/root",
    }
    assert passed_on(here) == {"NCCL_DEBUG": "INFO", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def ssh_options(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Options of `ssh` that lead to a real server of this machine; where none can be started, a stand-in for `ssh`."""
    server = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if server is None or os.geteuid() != 0:
        request.getfixturevalue("ssh")
        yield ()
        return
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
        "UsePAM": "no",
        "PidFile": tmp_path / "sshd.pid",
    }
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    with open(tmp_path / "sshd.log", "w") as log:
        process = subprocess.Popen([server, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=log)
    known = ("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path}/known")
    options_here = ("-p", str(port), "-i", str(tmp_path / "user"), "-o", "IdentitiesOnly=yes", *known)
    wait_for(
        lambda: subprocess.run(["ssh", *options_here, "localhost", "true"], capture_output=True).returncode == 0, 20
    )
    yield options_here
    process.terminate()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_on_every_host_ranks_save_and_nothing_is_left(
    tmp_path: Path, ssh_options: tuple[str, ...], number: int
) -> None:
    """Stopped, or with Dagster killed: the other end of each connection notices that it is let go."""
    work = tmp_path / "work"
    work.mkdir()
    launch = two_hosts(tmp_path).model_copy(update={"ssh_options": ssh_options})
    parent = in_process(run_job, work, launch=launch, steps=1000, grace=10, seconds_to_save=1)
    wait_for(lambda: len(rank_pids(work)) == 2)
    os.kill(parent.pid, number)
    parent.join(60)
    wait_for(lambda: not left_over(work), seconds=30)
    assert all_gone(rank_pids(work))
    assert {path.name for path in work.glob("*.step")} == {"rank-0.step", "rank-1.step"}


def two_hosts(folder: Path, second: int = 1) -> Launch:
    path = hostfile(folder, f"localhost slots=1\n127.0.0.1 slots={second}\n")
    return Launch(kind="hostfile", hostfile=path, master_port=free_port())


def test_a_batch_that_does_not_divide_by_all_slots_starts_nothing(tmp_path: Path, ssh: None) -> None:
    with pytest.raises(dg.Failure, match=r"micro_batch_size 1 x 3 ranks; .*hostfile"):
        run_job(
            tmp_path, launch=two_hosts(tmp_path, second=2), training={"global_batch_size": 8, "micro_batch_size": 1}
        )
    assert not rank_pids(tmp_path)
    assert not (tmp_path / "job.log").exists()


def test_a_rank_that_fails_on_one_host_ends_the_others(tmp_path: Path, ssh: None) -> None:
    with pytest.raises(dg.Failure, match=r"(?s)on localhost, 127.0.0.1 ended with code 3.*job_for_tests: the reason"):
        run_job(tmp_path, launch=two_hosts(tmp_path), steps=1, fail=3)
    assert not left_over(tmp_path)
