"""A client that counts: a steady stream of requests, one outcome for each, and each answer's content checked.

The stream is open: a request goes out at its time whatever became of the others, so that a stall is seen by all that
come into it. Nothing is tried again: what a request gets is what is counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

import aiohttp

from mmesim.triton.example import ITEM_VALUES

GIVE_UP_S = 90.0
"""Longer than any time-out of the endpoint: a request that the client itself gives up was forgotten."""
RIGHT, WRONG = "200", "200, wrong"
NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of one request."""

    model: str
    sent_s: float
    """On the clock of `time.monotonic`."""
    ended_s: float
    status: int
    """0: the connection was refused or broke off."""
    code: str
    """``x-amzn-errortype``, or how the connection ended."""
    message: str
    right: bool
    """Answered by the model that was asked, with what it had to say to this very input."""

    @property
    def took_s(self) -> float:
        return self.ended_s - self.sent_s

    @property
    def kind(self) -> str:
        """The outcome as the table has it."""
        if self.status == 200:
            return RIGHT if self.right else WRONG
        return f"{self.status} {self.code}" if self.status else f"{NO_ANSWER}: {self.code}"


class Client:
    """Asks one endpoint; every request gets another input. `answers[model]`: what a model multiplies it by."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.replies: list[Reply] = []
        self.answers: dict[str, set[float]] = {}
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0),
                                              timeout=aiohttp.ClientTimeout(GIVE_UP_S))

    async def close(self) -> None:
        """Closes connections."""
        await self._session.close()

    async def ask(self, model: str, pad_bytes: int = 0) -> Reply:
        """One request; `pad_bytes` of white space make its body larger."""
        self.asked += 1
        values, sent_s = [float(self.asked % (1 << 23))] * ITEM_VALUES, time.monotonic()
        status, headers, text = await self._posted(model, body(values) + b" " * pad_bytes)
        reply = Reply(model, sent_s, time.monotonic(), status, headers.get("x-amzn-errortype", text[:60]), text[:3000],
                      status == 200 and self._is_right(model, values, text))
        self.replies.append(reply)
        return reply

    async def _posted(self, model: str, content: bytes) -> tuple[int, Mapping[str, str], str]:
        headers = {"X-Amzn-SageMaker-Target-Model": model, "Content-Type": "application/json"}
        try:
            async with self._session.post(self.url, data=content, headers=headers) as answer:
                return answer.status, answer.headers, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, {}, type(error).__name__

    def _is_right(self, model: str, values: Sequence[float], text: str) -> bool:
        with suppress(ValueError, LookupError):
            answer = json.loads(text)
            factors = self.answers.get(model, {1.0})
            given = answer["outputs"][0]["data"]
            return answer["model_name"] == model and any(given == [f * v for v in values] for f in factors)
        return False


def body(values: Sequence[float]) -> bytes:
    """A request of one item."""
    return json.dumps({"inputs": [{"name": "INPUT", "shape": [1, ITEM_VALUES], "datatype": "FP32",
                                   "data": list(values)}]}).encode()


class Stream:
    """Requests at a steady rate over several models, as often as their weights say, while the `async with` lasts."""

    def __init__(self, client: Client, weights: Mapping[str, float], rate_rps: float = 30.0, seed: int = 1) -> None:
        self._client, self._weights, self._rate_rps = client, weights, rate_rps
        self._random = random.Random(seed)
        self._tasks: list[asyncio.Task[Reply]] = []
        self._sender: asyncio.Task[None] | None = None

    @property
    def replies(self) -> list[Reply]:
        """Those that have come, in the order of their requests."""
        return [task.result() for task in self._tasks if task.done()]

    @property
    def asked(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Stream:
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        """No more requests; all that went out have their outcome when this returns."""
        assert self._sender is not None
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        await asyncio.gather(*self._tasks)

    async def _send(self) -> None:
        names, weights = list(self._weights), list(self._weights.values())
        due_s = time.monotonic()
        while True:
            [model] = self._random.choices(names, weights)
            self._tasks.append(asyncio.create_task(self._client.ask(model)))
            due_s += 1 / self._rate_rps
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def recovered(self, since_s: float, within_s: float = 60.0, models: Iterable[str] = ()) -> float:
        """Seconds from `since_s` to the first right answer to a request (for one of `models`) sent after it."""
        wanted = set(models or self._weights)
        while True:
            found = [r.ended_s for r in self.replies if r.right and r.sent_s > since_s and r.model in wanted]
            if found:
                return min(found) - since_s
            assert time.monotonic() < since_s + within_s, f"no success within {within_s:g} s: {kinds(self.replies)}"
            await asyncio.sleep(0.02)


def kinds(replies: Iterable[Reply]) -> Counter[str]:
    """How many ended how."""
    return Counter(reply.kind for reply in replies)


def p99_s(replies: Iterable[Reply]) -> float:
    """Of the right answers."""
    times = sorted(reply.took_s for reply in replies if reply.right)
    return quantiles(times, n=100)[98] if len(times) > 1 else max(times, default=0.0)


def plain(reply: Reply) -> dict[str, Any]:
    """For messages."""
    return {"model": reply.model, "kind": reply.kind, "took_s": round(reply.took_s, 3), "message": reply.message[:300]}
