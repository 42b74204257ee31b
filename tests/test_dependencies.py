"""What is installed: locked by hash, under licenses that were agreed to, and looked up where vulnerabilities are known."""

import importlib.util
import json
import re
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-torch-cuda.lock", "requirements-torch-cpu.lock")
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+) \\$")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "infra" / "dependencies" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LICENSES, VULNERABILITIES = script("licenses"), script("vulnerabilities")
POLICY = yaml.safe_load((ROOT / "infra" / "dependencies" / "policy.yaml").read_text())


def pins(lock: str) -> dict[str, str]:
    found = (PIN.match(line) for line in (ROOT / lock).read_text().splitlines())
    return {canonicalize_name(match[1]): match[2] for match in found if match}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_nothing_says_where_it_comes_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)[1:]
    assert len(blocks) == len(pins(lock)) > 0
    for block in blocks:
        first, *hashes = block.strip().splitlines()
        assert hashes, first
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), first
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {**pins("requirements-torch-cuda.lock"), **pins("requirements.lock")}
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        asked = Requirement(text)
        assert asked.specifier.contains(locked[canonicalize_name(asked.name)], prereleases=True), text


def test_both_builds_are_of_one_torch() -> None:
    version = pins("requirements-torch-cuda.lock")["torch"]
    assert pins("requirements-torch-cpu.lock") == {"torch": f"{version}+cpu"}
    assert "torch" not in pins("requirements.lock")


def component(name: str = "thing", *licenses: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1", "licenses": list(licenses)}


@pytest.mark.parametrize(
    ("licenses", "problem"),
    [
        ([{"license": {"id": "MIT"}}], None),
        ([{"license": {"id": "AGPL-3.0-only"}}], "'AGPL-3.0-only' is not allowed"),
        ([{"expression": "GPL-3.0-only OR MIT"}], None),
        ([{"expression": "GPL-3.0-only AND MIT"}], "'GPL-3.0-only AND MIT' is not allowed"),
        ([{"expression": "MIT OR GPL-3.0-only"}, {"license": {"id": "GPL-3.0-only"}}], "is not allowed"),
        ([{"expression": "Apache-2.0 WITH LLVM-exception"}], None),
        ([{"expression": "GPL-3.0-only WITH GCC-exception-3.1"}], "is not allowed"),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], None),
        ([{"license": {"name": "License :: Other/Proprietary License"}}], "is no SPDX id"),
        ([{"expression": "MIT OR Something"}], "is no SPDX expression"),
        ([], "its metadata has no license"),
    ],
)
def test_which_licenses_are_allowed(licenses: list[dict[str, Any]], problem: str | None) -> None:
    _, found = LICENSES.judge(component("thing", *licenses), POLICY)
    assert found is None if problem is None else problem in str(found)


def test_a_license_that_was_read_by_hand_is_allowed_for_its_package_alone() -> None:
    assert LICENSES.judge(component("text-unidecode"), POLICY) == ("Artistic-1.0", None)
    assert LICENSES.judge(component("thing", {"license": {"id": "Artistic-1.0"}}), POLICY)[1] is not None


def test_one_that_is_not_allowed_ends_in_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sbom.json"
    for name, code in (("MIT", 0), ("AGPL-3.0-only", 1)):
        path.write_text(json.dumps({"components": [component("thing", {"license": {"id": name}})]}))
        assert LICENSES.main(str(path)) == code
    assert "NOT ALLOWED: thing 1: 'AGPL-3.0-only' is not allowed" in capsys.readouterr().err


class Osv(BaseHTTPRequestHandler):
    """Answers as the OSV service: one package has one vulnerability."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        package = asked["package"]
        found = {
            "id": "PYSEC-2000-1",
            "aliases": ["CVE-2000-1"],
            "details": "made up",
            "affected": [
                {
                    "package": package,
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
                    "versions": [asked["version"]],
                }
            ],
        }
        body = json.dumps({"vulns": [found]} if package["name"] == "broken" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, ...]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ("--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def lock_of(folder: Path, *names: str) -> str:
    """A lock file, as a path from the root that `vulnerabilities` takes."""
    (folder / "try.lock").write_text("".join(f"{name}==1.0 --hash=sha256:{'0' * 64}\n" for name in names))
    return str(folder / "try.lock")


def test_a_vulnerability_that_nobody_accepted(
    tmp_path: Path, service: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = lock_of(tmp_path, "sound", "broken")
    assert VULNERABILITIES.main([service], [lock]) == 1
    said = capsys.readouterr().out
    assert "broken 1.0: PYSEC-2000-1, fixed in 2.0" in said
    assert "2 packages looked up, 1 vulnerabilities that nobody accepted" in said
    policy = tmp_path / "policy.yaml"
    policy.write_text("accepted_vulnerabilities: {CVE-2000-1: not reachable from here}\n")
    monkeypatch.setattr(VULNERABILITIES, "POLICY", policy)
    assert VULNERABILITIES.main([service], [lock]) == 0
    assert "accepted: not reachable from here" in capsys.readouterr().out


def test_a_service_that_does_not_answer_is_no_clean_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    silent = ("--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:9")
    assert VULNERABILITIES.main([silent], [lock_of(tmp_path, "sound")]) == 0
    assert "Vulnerabilities were NOT looked up: no service answered" in capsys.readouterr().out


def test_a_service_that_knows_no_package_is_not_one_that_found_nothing() -> None:
    skipped = [{"name": "one", "skip_reason": "not found"}, {"name": "two", "skip_reason": "not found"}]
    known = [*skipped, {"name": "three", "version": "1", "vulns": []}]
    assert VULNERABILITIES.answered(json.dumps({"dependencies": skipped}), "")[0] is None
    assert VULNERABILITIES.answered(json.dumps({"dependencies": known}), "")[0] == known
    assert VULNERABILITIES.answered("", "Traceback\nConnectionError: refused") == (None, "ConnectionError: refused")
