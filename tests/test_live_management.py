"""The management API, over a socket, before something that notes what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from mmesim.live.gateway import ManagementSettings, serve_management
from mmesim.live.gateway.management import JSON
from mmesim.live.ports import FetchFailed, LoadRefused, ServerDown

aiohttp = pytest.importorskip("aiohttp")


class Noted:
    """Knows one model, and notes what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def models(self) -> Sequence[JSON]:
        return [{"name": "resnet", "ready_on": [0]}]

    async def add(self, name: str) -> JSON:
        self.asked.append(("add", name))
        if name != "resnet":
            raise FetchFailed("the store does not answer")
        return {"name": name}

    async def remove(self, name: str) -> None:
        if name != "resnet":
            raise KeyError(name)
        self.asked.append(("remove", name))

    async def load(self, name: str) -> JSON:
        if error := {"broken": LoadRefused("no module named torch"), "lost": ServerDown("it died")}.get(name):
            raise error
        self.asked.append(("load", name))
        return {"name": name}

    async def state(self) -> JSON:
        raise ZeroDivisionError

    async def reconcile_now(self) -> JSON:
        return {"0": {"found": []}}

    async def drain(self, timeout_s: float) -> int:
        self.asked.append(("drain", timeout_s))
        return 3

    def metrics(self) -> bytes:
        return b"mmesim_up 1\n"


CALLS = [
    ("GET", "/models", None, 200, {"models": [{"name": "resnet", "ready_on": [0]}]}),
    ("POST", "/models", {"name": "resnet"}, 201, {"name": "resnet"}),
    ("POST", "/models", {"name": "gone"}, 502, {"error": "the store does not answer"}),
    ("POST", "/models", {"name": "../etc"}, 400, {"error": "'../etc' is no name of a model"}),
    ("POST", "/models", {"name": 5}, 400, {"error": 'the body must be {"name": "NAME"}'}),
    ("POST", "/models", [], 400, {"error": "the body must be a JSON object"}),
    ("DELETE", "/models/resnet", None, 204, None),
    ("DELETE", "/models/nobody", None, 404, {"error": "there is no 'nobody'"}),
    ("DELETE", "/models/..%2fetc", None, 400, {"error": "'../etc' is no name of a model"}),
    ("POST", "/models/resnet/load", None, 200, {"name": "resnet"}),
    ("POST", "/models/broken/load", None, 409, {"error": "no module named torch"}),
    ("POST", "/models/lost/load", None, 503, {"error": "it died"}),
    ("GET", "/state", None, 500, {"error": "it failed: see the log"}),
    ("POST", "/reconcile", None, 200, {"0": {"found": []}}),
    ("POST", "/drain", None, 200, {"left": 3}),
    ("POST", "/drain", {"timeout_s": 2.5}, 200, {"left": 3}),
    ("POST", "/drain", {"timeout_s": "soon"}, 400, {"error": 'the body must be {"timeout_s": SECONDS}, or empty'}),
    ("PUT", "/models", None, 405, {"error": "Method Not Allowed"}),
    ("POST", "/endpoints/mme/invocations", None, 404, {"error": "Not Found"}),
]


def test_calls_and_errors() -> None:
    async def story() -> None:
        noted = Noted()
        api = await serve_management(noted, ManagementSettings(port=0), 65.0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{api.port}") as session:
            for method, path, given, status, expected in CALLS:
                async with session.request(method, path, json=given) as answer:
                    got = await answer.json() if answer.status != 204 else None
                    assert (answer.status, got) == (status, expected), (method, path, given)
            async with session.get("/metrics") as answer:
                assert (await answer.read(), answer.headers["Content-Type"]) == (
                    b"mmesim_up 1\n", "text/plain; version=0.0.4; charset=utf-8")
            async with session.post("/models", data=b"{") as answer:
                assert (answer.status, (await answer.json())["error"][:19]) == (400, "the body is no JSON")
        await api.close()
        assert noted.asked == [("add", "resnet"), ("add", "gone"), ("remove", "resnet"), ("load", "resnet"),
                               ("drain", 65.0), ("drain", 2.5)]
    asyncio.run(story())


def test_its_token_guards_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RULER", "secret")

    async def story() -> None:
        api = await serve_management(Noted(), ManagementSettings(port=0, token_env="RULER"), 65.0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{api.port}") as session:
            for path in ("/models", "/metrics", "/nothing"):
                async with session.get(path) as answer:
                    assert answer.status == 403
            async with session.get("/models", headers={"Authorization": "Bearer secret"}) as answer:
                assert answer.status == 200
        await api.close()
    asyncio.run(story())
