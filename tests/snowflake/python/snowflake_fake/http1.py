"""As much of an HTTP/1.1 server as the clients need, and one that can break off an answer.

No framework, because none lets a handler close the connection in the middle of a body.
"""

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    def json(self):
        return json.loads(self.body or "{}")


@dataclass
class Answer:
    """`part` is how much of it is sent before the connection is closed: 1.0 closes nothing."""

    value: object = None
    status: int = 200
    part: float = 1.0
    headers: dict[str, str] = field(default_factory=dict)


async def serve(handle) -> asyncio.Server:
    """Listens on a free port of the loopback interface."""

    async def connected(reader, writer):
        try:
            while (request := await _read(reader)) is not None:
                answer = await handle(request)
                await _write(writer, answer)
                closes = request.headers.get("connection", "").lower() == "close"
                if closes or answer.part < 1.0:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)


async def _read(reader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    try:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError:
        return None
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return Request(method, target, headers, body.decode())


async def _write(writer, answer: Answer) -> None:
    if answer.part == 0.0:
        return
    body = json.dumps(answer.value).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **answer.headers,
    }
    head = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode() + b"\r\n" + body[: int(len(body) * answer.part)])
    await writer.drain()
