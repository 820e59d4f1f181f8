"""Failures on demand, and the waiting that tests do instead of sleeping."""

import asyncio
from dataclasses import dataclass

from .http1 import Answer
from .refusal import Refusal


@dataclass
class Fault:
    kind: str
    matching: str
    login: bool
    times: int
    code: str = ""
    sql_state: str = ""
    message: str = ""
    status: int = 0


class Faults:
    def __init__(self):
        self.waiting: list[Fault] = []
        self.held = 0
        self.released = asyncio.Event()
        self.watchers: list[tuple] = []

    def add(self, fault: dict) -> None:
        self.waiting.append(Fault(**{"matching": "", "login": False} | fault))

    def next(self, sql: str | None) -> Fault | None:
        """The first that fits a statement, or a login if there is none."""
        for fault in self.waiting:
            fits = fault.login if sql is None else not fault.login
            if fits and fault.matching.upper() in (sql or "").upper():
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def release(self) -> None:
        self.waiting.clear()
        self.released.set()
        self.released = asyncio.Event()

    async def hold(self) -> None:
        self.held += 1
        self.changed()
        try:
            await self.released.wait()
        finally:
            self.held -= 1
            self.changed()

    async def before(self, fault: Fault | None) -> Answer | None:
        """The answer that is given instead of doing anything."""
        match fault.kind if fault else None:
            case "cut_before":
                return Answer(part=0.0)
            case "error":
                raise Refusal(fault.code, fault.sql_state, fault.message)
            case "status":
                # Text and code are recorded for 429 only, in the SQL API.
                text = "Too many requests." if fault.status == 429 else "Unavailable"
                body = {"code": "390505", "message": text, "success": False, "data": None}
                return Answer(body, fault.status)
            case "hang":
                await self.hold()
        return None

    async def after(self, fault: Fault | None, answer: Answer) -> Answer:
        match fault.kind if fault else None:
            case "cut_after":
                answer.part = 0.0
            case "half_body":
                answer.part = 0.5
            case "hang_after":
                await self.hold()
        return answer

    async def until(self, comes_true) -> None:
        """Waits for a condition; every change of something it looks at says so."""
        if comes_true():
            return
        waiter = asyncio.get_running_loop().create_future()
        self.watchers.append((comes_true, waiter))
        await waiter

    def changed(self) -> None:
        for watcher in list(self.watchers):
            comes_true, waiter = watcher
            if comes_true():
                self.watchers.remove(watcher)
                waiter.set_result(None)
