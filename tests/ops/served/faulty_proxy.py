"""A TCP proxy between client and server that has accidents: HTTP/1.1 as far as these tests need it."""

import asyncio
import json
import re
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lang1_assets.ops.served.wording import PROBE

Fault = str | None


@dataclass
class FaultyProxy:
    """Forwards requests one to a connection, unless `fault_of` has an accident for the next one, by its number from 0.

    Questions of the client's own, about what the server can do, are counted by themselves, and have no accidents but those of
    `fault_of_probe`: a drawn token may cost one of them more.

    Accidents: `drop` closes before the server is asked, `lose` after it answered; `cut` sends half the bytes; `half` a whole
    HTTP answer with half the JSON; `drip` its content a byte now and then; `wait:SECONDS` answers late; `gzip` says that what
    is not compressed were; `json:TEXT`, `429:SECONDS`, `500`, `401`, `404` and `307:URL` answer for the server.
    """

    server_port: int
    fault_of: Callable[[int], Fault] = lambda number: None
    probe_ids: Sequence[int] = ()
    """By which such a question is known where prompts are token ids."""
    fault_of_probe: Callable[[int], Fault] = lambda number: None
    adds: dict[str, Any] = field(default_factory=dict)
    """Fields of each forwarded request: the same server with other habits."""
    probes: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of the questions about notes."""
    answered: Counter[str] = field(default_factory=Counter)
    """How often the server answered each of them, whatever became of the answer."""
    most_at_once: int = 0
    port: int = 0
    _now: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def num_probes_repeated(self) -> int:
        """For another token to be drawn."""
        return len(self.probes) - len({json.dumps(probe) for probe in self.probes})

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            head, body = await read_message(reader)
            asked = json.loads(body)
            seen, fault_of = (
                (self.probes, self.fault_of_probe) if self.is_probe(asked) else (self.bodies, self.fault_of)
            )
            seen.append(asked)
            await self.answer(fault_of(len(seen) - 1), head, body, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._now -= 1
            writer.close()

    def is_probe(self, asked: dict[str, Any]) -> bool:
        prompt = asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"]
        probe = PROBE if isinstance(prompt, str) else list(self.probe_ids)
        return bool(probe) and prompt[: len(probe)] == probe

    async def answer(self, fault: Fault, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        name, _, value = (fault or "").partition(":")
        if name == "drop":
            return
        if name.isdigit():
            writer.write(refusal(int(name), value, body))
            await writer.drain()
            return
        if name == "json":
            writer.write(plain(200, value.encode()))
            await writer.drain()
            return
        if name == "wait":
            await asyncio.sleep(float(value))
        answer = await self.forward(head, body)
        if not self.is_probe(json.loads(body)):
            self.answered[body.decode()] += 1
        _, _, content = answer.partition(b"\r\n\r\n")
        if name == "half":
            answer = plain(200, content[: len(content) // 2])
        if name == "gzip":
            answer = plain(200, content, "Content-Encoding: gzip\r\n")
        if name == "drip":
            await drip(answer, len(answer) - len(content), writer)
        elif name != "lose":
            writer.write(answer[: len(answer) // 2] if name == "cut" else answer)
            await writer.drain()

    async def forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        try:
            writer.write(with_fields(head, body, self.adds) if self.adds else head + body)
            await writer.drain()
            answer_head, content = await read_message(reader)
            # One request a connection: a client that tries to use it again would meet accidents that nobody planned.
            return answer_head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + content
        finally:
            writer.close()


def with_fields(head: bytes, body: bytes, fields: dict[str, Any]) -> bytes:
    body = json.dumps({**json.loads(body), **fields}).encode()
    return re.sub(rb"(?i)(content-length:) *[0-9]+", rb"\1 %d" % len(body), head) + body


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head with its blank line, and content; of a message that says how long it is."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head, await reader.readexactly(lengths[0])


async def drip(answer: bytes, start: int, writer: asyncio.StreamWriter) -> None:
    """The head, and then a byte of the content now and then."""
    writer.write(answer[:start])
    for number in range(start, start + 100):
        writer.write(answer[number : number + 1])
        await writer.drain()
        await asyncio.sleep(0.05)


def refusal(status: int, value: str, body: bytes) -> bytes:
    """With the request in it, as servers like to answer."""
    extra = {307: f"Location: {value}\r\n", 429: f"Retry-After: {value}\r\n" if value else ""}.get(status, "")
    return plain(status, b'{"error": {"message": "cannot do ' + body.replace(b'"', b"'") + b'"}}', extra)


def plain(status: int, content: bytes, extra: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n{extra}\r\n".encode() + content
    )


@contextmanager
def faulty_proxy(
    server_port: int,
    fault_of: Callable[[int], Fault] = lambda number: None,
    tls: ssl.SSLContext | None = None,
    **more: Any,
) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(server_port, fault_of, **more)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(proxy.handle, "127.0.0.1", 0, limit=1 << 24, ssl=tls))
    proxy.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
