"""Several machines named in a file: what the file says, whether they can be used, and the command for each."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.resources.launcher.jobs import LaunchError
from lang1_assets.resources.launcher.processes import Times, leashed

SSH = (
    "ssh",
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    # A machine that is gone is noticed after a minute.
    "-o",
    "ServerAliveInterval=15",
    "-o",
    "ServerAliveCountMax=4",
)
LINE = re.compile(r"^(?P<name>(?:[\w.-]+@)?[A-Za-z0-9][\w.:-]*)\s+slots\s*=\s*(?P<slots>\d+)$")
EXPECTED = "expected a host's name and its ranks, such as 'gpu-1 slots=8'"
PROBE_SECONDS = 60
# What reaches the ranks of another machine of the environment here; a command line is no place for secrets.
PASSED_ON = re.compile(r"^(NCCL_|GLOO_|UCX_|HF_|TRANSFORMERS_|TOKENIZERS_|PYTHON|DAGSTER_PIPES_|DS_|OMP_|MALLOC_)")
SECRET = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD)$")


@dataclass(frozen=True, kw_only=True)
class Host:
    """A line of a hostfile."""

    name: str
    """As `ssh` takes it."""
    slots: int
    """Ranks: one a GPU."""
    where: str
    """File and line, for messages."""

    @property
    def address(self) -> str:
        return self.name.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a host has."""

    gpus: int
    cores: int


def read_hostfile(path: Path) -> list[Host]:
    """The hosts of a file in DeepSpeed's format: `NAME slots=N` a line; `#` begins a comment.

    Raises:
        LaunchError: the file cannot be read or says nothing usable; every wrong line is listed.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise LaunchError(f"launch.hostfile {path}: {reason}; {EXPECTED} a line") from None
    hosts: dict[str, Host] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        text, where = line.partition("#")[0].strip(), f"{path}, line {number}"
        found = LINE.match(text)
        if not text:
            continue
        if found is None:
            problems.append(f"{where}: '{text[:80]}' is no host; {EXPECTED}")
        elif int(found["slots"]) == 0:
            problems.append(f"{where}: host '{found['name']}' has no slots; give it at least 1, or remove the line")
        elif found["name"] in hosts:
            problems.append(f"{where}: host '{found['name']}' was named before ({hosts[found['name']].where})")
        else:
            hosts[found["name"]] = Host(name=found["name"], slots=int(found["slots"]), where=where)
    if not hosts and not problems:
        problems.append(f"{path}: no host in it; {EXPECTED} a line")
    if problems:
        raise LaunchError("\n".join(problems))
    return list(hosts.values())


def probe(hosts: Sequence[Host], ssh_options: Sequence[str], config_file: Path) -> dict[str, Found]:
    """What each host has, asked of all at once.

    Raises:
        LaunchError: hosts cannot be reached, lack the project or the job's folder, or have fewer GPUs than slots; all listed.
    """
    with ThreadPoolExecutor(max_workers=32) as threads:
        answers = list(threads.map(lambda host: _probe_one(host, ssh_options, config_file), hosts))
    problems = [answer for answer in answers if isinstance(answer, str)]
    found = {host.name: answer for host, answer in zip(hosts, answers, strict=True) if isinstance(answer, Found)}
    with_gpus = [host for host in hosts if host.name in found and found[host.name].gpus]
    for host in hosts:
        if host.name in found and with_gpus and found[host.name].gpus < host.slots:
            problems.append(
                f"{host.where}: host '{host.name}' has {found[host.name].gpus} GPUs for {host.slots} slots; lower the slots"
            )
    if problems:
        raise LaunchError("\n".join(problems))
    return found


def _probe_one(host: Host, ssh_options: Sequence[str], config_file: Path) -> Found | str:
    python, config, folder = map(shlex.quote, (sys.executable, str(config_file), str(Path.cwd())))
    script = (
        f"test -x {python} || {{ echo missing-python; exit 0; }}; "
        f"test -d {folder} || {{ echo missing-folder; exit 0; }}; "
        f"test -r {config} || {{ echo missing-config; exit 0; }}; "
        "echo found $(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU ') $(nproc)"
    )
    command = ssh_command(host, ssh_options, script)
    who = f"{host.where}: host '{host.name}'"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, stdin=subprocess.DEVNULL, errors="replace"
        )
    except FileNotFoundError:
        return f"{who}: there is no ssh on this machine; install an ssh client"
    except subprocess.TimeoutExpired:
        return f"{who} did not answer within {PROBE_SECONDS} s; correct the name or remove the line"
    answer = done.stdout.split()
    missing = {
        "missing-python": f"lacks {sys.executable}; install the project there under the same path",
        "missing-folder": f"lacks the folder {Path.cwd()}; install the project there under the same path",
        "missing-config": f"does not see {config_file}; LANG1_HOME must lie on a file system that all hosts share",
    }
    if answer[-1:] and answer[-1] in missing:
        return f"{who} {missing[answer[-1]]}"
    if done.returncode or len(answer) < 3 or answer[-3] != "found":
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return f"{who} cannot be used over ssh ({said}); expected a host that this user reaches with a key, without a password"
    return Found(gpus=int(answer[-2]), cores=int(answer[-1]))


def ssh_command(host: Host, ssh_options: Sequence[str], script: str) -> list[str]:
    # Whatever shell the user has there.
    return [*SSH, *ssh_options, "--", host.name, f"sh -c {shlex.quote(script)}"]


def remote_command(
    host: Host,
    ssh_options: Sequence[str],
    command: Sequence[str],
    environment: Mapping[str, str],
    times: Times,
) -> list[str]:
    """A leashed command on a host, in the folder that is the current one here."""
    variables = [f"{name}={value}" for name, value in sorted(environment.items())]
    words = ["env", *variables, *leashed(command, times)]
    return ssh_command(host, ssh_options, f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(words)}")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What another machine's ranks need of the environment here."""
    return {name: text for name, text in environment.items() if PASSED_ON.match(name) and not SECRET.search(name)}
