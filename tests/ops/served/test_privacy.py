"""Where a note goes: to an allowed address, and nowhere else; not in a log, an error, a file, or a connection."""

import logging
import socket
import ssl
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from lang1_assets.ops.served.errors import AddressError, ServedError
from lang1_assets.ops.served.model import TEN_SAMPLES, ServedModel
from lang1_assets.ops.served.scoring import score_served
from tests.ops.served.conftest import Questions
from tests.ops.served.faulty_proxy import faulty_proxy

CANARY = "zebra-4711 metoprolol"


class Listener:
    """Keeps every byte that anybody sends to its port."""

    def __init__(self, address: str) -> None:
        self._socket = socket.create_server((address, 0))
        self.port: int = self._socket.getsockname()[1]
        self.num_connections = 0
        self.received = b""
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.num_connections += 1
                connection.settimeout(1)
                try:
                    self.received += connection.recv(1 << 20)
                except OSError:
                    continue

    def close(self) -> None:
        # Closing alone does not wake up a thread that is waiting in accept.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def listening(address: str = "127.0.0.1") -> Iterator[Listener]:
    listener = Listener(address)
    try:
        yield listener
    finally:
        listener.close()


def elsewhere(url: str) -> ServedModel:
    return ServedModel(api="completions", url=url, name="x", max_retries=0)


def test_a_listener_hears_what_is_sent(tmp_path: Path) -> None:
    """So that its silence below says something."""
    with listening() as listener:
        with pytest.raises(ServedError, match="no answer"):
            score_served([CANARY], "AB", elsewhere(f"http://127.0.0.1:{listener.port}/v1"), tmp_path / "ledger")
        assert listener.num_connections == 1
        assert listener.received.startswith(b"POST /v1/completions")


@pytest.mark.parametrize("allowed", [(), ("127.0.0.1:1",), ("localhost:{port}",), ("127.0.0.2:{port}",)])
def test_an_address_off_the_list_receives_no_connection(tmp_path: Path, allowed: tuple[str, ...]) -> None:
    with listening() as listener:
        entries = tuple(entry.format(port=listener.port) for entry in allowed)
        model = replace(elsewhere(f"http://127.0.0.1:{listener.port}/v1"), allowed_addresses=entries)
        with pytest.raises(AddressError, match="is not an allowed address, and nothing was sent there"):
            score_served([CANARY], "AB", model, tmp_path / "ledger")
        assert listener.num_connections == 0


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_redirect_is_not_followed(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path, api: str
) -> None:
    """Not even to an address of this machine: 307 sends the same body again."""
    with listening() as listener:
        target = f"307:http://127.0.0.1:{listener.port}/v1/completions"
        with faulty_proxy(llama_port, lambda number: target) as proxy:
            model = replace(served, api=api, url=proxy.url)
            sampling = TEN_SAMPLES if api == "chat" else None
            with pytest.raises(ServedError, match="redirects elsewhere"):
                score_served([CANARY], questions.letters, model, tmp_path / "ledger", sampling=sampling)
        assert listener.num_connections == 0
        assert len(proxy.bodies) == 1


def test_proxies_of_the_environment_receive_nothing(
    served: ServedModel, questions: Questions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as listener:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        scores = score_served(questions.prompts[:2], questions.letters, served, tmp_path / "ledger")
        assert scores.not_scored == {}
        assert listener.num_connections == 0


def test_a_named_proxy_must_be_allowed_too(served: ServedModel, questions: Questions, tmp_path: Path) -> None:
    with listening() as listener:
        proxy = f"http://127.0.0.1:{listener.port}"
        allowed = (served.url.removeprefix("http://").removesuffix("/v1"),)
        model = replace(served, allowed_addresses=allowed, proxy=proxy, max_retries=0)
        with pytest.raises(AddressError, match="is not an allowed address"):
            score_served(questions.prompts[:1], questions.letters, model, tmp_path / "ledger")
        assert listener.num_connections == 0
        model = replace(model, allowed_addresses=(*allowed, f"127.0.0.1:{listener.port}"))
        with pytest.raises(ServedError, match="no answer"):
            score_served(questions.prompts[:1], questions.letters, model, tmp_path / "ledger")
        assert listener.num_connections == 1


def test_https_is_to_a_server_that_proves_who_it_is(
    served: ServedModel, llama_port: int, questions: Questions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the hospital's own authority, where the profile names it; what the environment names is not looked at."""
    certificate, context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with faulty_proxy(llama_port, tls=context) as proxy:
        model = replace(served, url=proxy.url.replace("http:", "https:"), max_retries=0)
        with pytest.raises(ServedError, match="its certificate is not trusted; set certificate_authority"):
            score_served([CANARY], questions.letters, model, tmp_path / "ledger")
        assert proxy.bodies == []
        trusting = replace(model, certificate_authority=certificate, max_retries=8)
        scores = score_served(questions.prompts[:2], questions.letters, trusting, tmp_path / "ledger")
    assert scores.not_scored == {}


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    certificate, key = folder / "server.pem", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=tests"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@pytest.mark.parametrize(
    "accident",
    [None, "drop", "lose", "cut", "half", "gzip", "500", "429:0", "401", "404", "400", "422", "307:http://x/"],
)
@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_note_is_in_no_log_error_or_file(
    served: ServedModel,
    llama_port: int,
    questions: Questions,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    accident: str | None,
    api: str,
) -> None:
    """The proxy's refusals quote the request, as servers do; logging is as loud as it can be."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    # As text: token ids would hide the words, and a leak of them.
    served = replace(served, api=api, tokenizer=None, longest_wait_seconds=0.01, max_answer_tokens=4)
    sampling = TEN_SAMPLES if api == "chat" else None
    prompt = f"{CANARY} {questions.prompts[0]}"
    told: list[str] = []
    with faulty_proxy(llama_port, lambda number: accident) as proxy:
        model = replace(served, url=proxy.url)
        try:
            scores = score_served(
                [prompt], questions.letters, model, tmp_path / "ledger", sampling=sampling, on_progress=told.append
            )
            told.append(repr(scores))
        except ServedError as error:
            told.append("".join(traceback.format_exception(error)))
            told.extend(everything_in(error))
    printed = capfd.readouterr()
    assert any(CANARY in str(body) for body in proxy.bodies), "the server itself received the note"
    assert told
    for text in (*told, caplog.text, printed.out, printed.err):
        assert CANARY not in text
        assert questions.prompts[0][:20] not in text
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes(), file


def everything_in(error: BaseException | None) -> Iterator[str]:
    """What an exception and those behind it hold, shown or not."""
    while error is not None:
        yield repr(error)
        yield repr(vars(error))
        error = error.__cause__ or error.__context__
