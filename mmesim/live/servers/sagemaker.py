"""The second dialect: SageMaker's container contract, as Triton serves it with `--allow-sagemaker=true`.

`POST /models` {"model_name", "url"} loads: 200; 409 already there, 507 memory was short, 400 any other failure.
`DELETE /models/NAME` unloads, `GET /models` lists (src/sagemaker_server.cc; Developer Guide, "Build Your Own Container
for SageMaker AI Multi-Model Endpoints"). How Triton goes about it decides what is done here:

* The header `X-Amzn-SageMaker-Target-Model` of the load becomes the served name. It is given the same text as
  `model_name`, so that the list tells names: it shows `{}` for what is not ready under its `model_name`, version 1.
  Unload and invocation need the header too. A request goes to `POST /models/NAME/invoke`, or, where HTTP is offered,
  to `/v2/models/NAME/infer`.
* `url` must be a folder with one true folder in it, the model: beside the repository there is a tree of such folders,
  whose files are links into the repository.
* The `url` is registered before the load: 409 also comes while an earlier load is under way, so the list is asked.
* `/ping` answers 400 while some model has failed; the server serves all the same.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmesim.live.ports import LoadRefused, ServerDown
from mmesim.live.servers.base import POLL_MAX_S, BaseServer, is_out_of_memory

TARGET = "X-Amzn-SageMaker-Target-Model"
LINKS = ".sagemaker"
"""Ends the name of the folder of links beside the repository."""


class SageMakerAdapter(BaseServer):
    """A `Server` by the container contract."""

    async def is_ready(self) -> bool:
        """Whether it answers `/ping` within the time the settings give it."""
        try:
            status, _ = await self._ask("GET", "/ping", timeout_s=self._settings.health_timeout)
        except (ServerDown, TimeoutError):
            return False
        return status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST)

    async def index(self) -> Mapping[str, str]:
        """Model -> READY or UNAVAILABLE: the contract knows nothing between them. Raises ServerDown."""
        listed = await self._listed()
        states = dict.fromkeys(await asyncio.to_thread(_folders, self.repository), "UNAVAILABLE")
        states |= {row["modelName"]: "READY" for row in listed if row}
        if not all(listed):
            unnamed = [name for name, state in states.items() if state != "READY"]
            states |= {name: "READY" for name in unnamed if await self._is_loaded(name)}
        return states

    async def load(self, model: str, timeout_s: float) -> None:
        """Loads it. Raises LoadRefused, ServerDown."""
        url = await asyncio.to_thread(self._link, model)
        try:
            async with asyncio.timeout(timeout_s), self._device.changing(model, load=True):
                status, text = await self._ask("POST", "/models", model, json={"model_name": model, "url": str(url)})
                while status == HTTPStatus.CONFLICT and not await self._is_loaded(model):
                    await asyncio.sleep(POLL_MAX_S)
        except TimeoutError:
            if not await self.is_ready():
                raise ServerDown(f"{self.name} does not answer any more, nor its health check") from None
            raise LoadRefused(f"timed out: {model} is not loaded after {timeout_s:g} s") from None
        if status not in (HTTPStatus.OK, HTTPStatus.CONFLICT):
            short = status == HTTPStatus.INSUFFICIENT_STORAGE or is_out_of_memory(text)
            raise LoadRefused(_words(text), out_of_memory=short)

    async def unload(self, model: str, timeout_s: float) -> None:
        """Unloads it; Triton answers when it has gone, or was not there. Raises ServerDown."""
        try:
            async with asyncio.timeout(timeout_s), self._device.changing(model, load=False):
                status, text = await self._ask("DELETE", f"/models/{quote(model)}", model)
        except TimeoutError:
            raise ServerDown(f"{self.name} hangs: {model} is not unloaded after {timeout_s:g} s") from None
        if status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise ServerDown(f"{self.name} does not unload {model}: {_words(text)}")
        await asyncio.to_thread(shutil.rmtree, self._links / model, ignore_errors=True)

    @property
    def _links(self) -> Path:
        return self.repository.with_name(self.repository.name + LINKS)

    def _link(self, model: str) -> Path:
        """A fresh folder with the model's folder in it, whose entries are links to those of the repository."""
        url = self._links / model
        shutil.rmtree(url, ignore_errors=True)
        (url / model).mkdir(parents=True)
        for entry in sorted((self.repository / model).absolute().iterdir()):
            (url / model / entry.name).symlink_to(entry)
        return url.absolute()

    async def _listed(self) -> list[dict[str, str]]:
        """All pages of the list: {"modelName", "modelUrl"} each, or nothing. Raises ServerDown."""
        rows: list[dict[str, str]] = []
        page = ""
        while True:
            answer = json.loads(await self._short("/models" + (f"?next_page_token={quote(page)}" if page else "")))
            rows += answer.get("models") or []
            page = answer.get("nextPageToken") or ""
            if not page:
                return rows

    async def _is_loaded(self, model: str) -> bool:
        """Whether its load has ended well, and no unload has."""
        status, _ = await self._ask("GET", f"/models/{quote(model)}", model)
        return status == HTTPStatus.OK

    async def _short(self, path: str) -> str:
        try:
            status, text = await self._ask("GET", path)
        except TimeoutError:
            raise ServerDown(f"{self.name} does not answer within {self._settings.call_timeout:g} s") from None
        if status != HTTPStatus.OK:
            raise ServerDown(f"{self.name}: GET {path}: {status} {_words(text)}")
        return text

    async def _ask(self, method: str, path: str, model: str = "", timeout_s: float | None = None,
                   **arguments: Any) -> tuple[int, str]:
        """Loads and unloads have a time-out around them; what only asks has that of short calls."""
        if timeout_s is None and method == "GET":
            timeout_s = self._settings.call_timeout
        headers = {TARGET: model} if model else {}
        return await self._unless_lost(self._fetch(method, f"http://{self.address.sagemaker}{path}", timeout_s,
                                                   headers=headers, **arguments))


def _folders(repository: Path) -> list[str]:
    return [entry.name for entry in repository.iterdir() if entry.is_dir()] if repository.is_dir() else []


def _words(text: str) -> str:
    """The error in an answer."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip() or "no reason was given"
