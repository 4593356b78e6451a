"""One request from its arrival to its end, whatever dialect it came in: admitted, held while its model is loaded, sent
to a server, and sent anew when that server was lost under it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic as clock
from typing import Generic, TypeVar

from mmesim.core.types import NONE, Failure
from mmesim.live.ports import Endpoint, Server, ServerDown, Ticket

T = TypeVar("T")
Send = Callable[[Ticket, Server, float], Awaitable[T]]
"""Sends to a server and waits at most so many seconds. Raises ServerDown, TimeoutError."""

SAID = {Failure.MODEL_NOT_READY: "the model is still being loaded: try again",
        Failure.TIMEOUT: "the invocation timed out while waiting for a response from the model",
        Failure.THROTTLED: "refused by the endpoint's admission policy: slow down",
        Failure.QUEUE_FULL: "the model's queue is full", Failure.LOAD_FAILED: "the model could not be loaded",
        Failure.NO_SUCH_MODEL: "there is no such model", Failure.INSTANCE_LOST: "no server could answer: try again"}
"""What a failure means, when nobody knows more."""


@dataclass(slots=True)
class Outcome(Generic[T]):
    """How it ended. `answer` is None when there is a failure."""

    ticket: Ticket
    answer: T | None
    failure: Failure
    wait_s: float
    """From its arrival until it was sent to the server that answered."""
    server_s: float
    """What that server took; 0: it was never sent."""

    def message(self) -> str:
        """What the caller of a failed request is told."""
        return f"{self.ticket.name}: {self.ticket.reason or SAID[self.failure]}"

    def headers(self) -> dict[str, str]:
        """Where it was served and where its time went, for whoever measures from outside."""
        headers = {"X-Mmesim-Wait-Ms": f"{1e3 * self.wait_s:.3f}", "X-Mmesim-Server-Ms": f"{1e3 * self.server_s:.3f}"}
        if self.ticket.instance != NONE:
            headers["X-Mmesim-Instance"] = str(self.ticket.instance)
            headers["X-Mmesim-Tier"] = self.ticket.tier.name.lower()
        if self.failure:
            headers["X-Mmesim-Failure"] = self.failure.name.lower()
        return headers


def is_broken(message: str) -> bool:
    """Triton's words (python backend, 2.51) for a model whose process has ended: it answers nothing else until it is
    loaded anew, and the index goes on saying READY."""
    return "Stub process '" in message and "is not healthy" in message


async def invoke(endpoint: Endpoint, name: str, send: Send[T], is_error: Callable[[T | None], bool]) -> Outcome[T]:
    """Serves one request for a model, within the endpoint's invocation time-out. The ticket is ended exactly once;
    cancelled (the client has gone): as TIMEOUT. `is_error`: whether an answer is an error of the model's own."""
    began_s = clock()
    ticket = endpoint.begin(name)
    while True:
        if ticket.must_wait:
            await endpoint.wait(ticket)
        sent_s = clock()
        if ticket.failure is not Failure.NONE:
            endpoint.end(ticket, ticket.failure)
            return Outcome(ticket, None, ticket.failure, sent_s - began_s, 0.0)
        answer, failure = None, Failure.NONE
        try:
            left_s = max(0.0, began_s + endpoint.invocation_timeout_s - sent_s)
            answer = await send(ticket, endpoint.server(ticket), left_s)
        except ServerDown:
            ticket = endpoint.again(ticket)
            continue
        except TimeoutError:
            failure = Failure.TIMEOUT
        except BaseException:
            endpoint.end(ticket, Failure.TIMEOUT)
            raise
        server_s = clock() - sent_s
        ticket.server_ns = round(1e9 * server_s)
        endpoint.end(ticket, Failure.MODEL_ERROR if is_error(answer) else failure)
        return Outcome(ticket, answer, failure, sent_s - began_s, server_s)
