"""A headless browser for tests of pages: starts Chromium and speaks the DevTools protocol with it through two pipes.

https://chromedevtools.github.io/devtools-protocol/ (domains Page, Runtime, Network, Log, Emulation, Input). Nothing but
the standard library; where no browser is, tests skip, unless MMESIM_REQUIRE_BROWSER says that there must be one.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
         "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-extensions",
         "--mute-audio", "--remote-debugging-pipe")
PATIENCE_S = 120.0
START = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""
"""The browser expects its pipes at the file descriptors 3 (it reads) and 4 (it writes)."""


def find_browser() -> str:
    """The program. Skips the test where there is none; fails where there must be one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None and os.environ.get("MMESIM_REQUIRE_BROWSER"):
        pytest.fail("MMESIM_REQUIRE_BROWSER is set but none of these is installed: " + ", ".join(NAMES))
    if found is None:
        pytest.skip("no browser: install chromium to test the pages")
    return found


class Browser:
    """A running Chromium."""

    def __init__(self, program: str, home: Path) -> None:
        orders_out, orders_in = (_high(end) for end in os.pipe())
        news_out, news_in = (_high(end) for end in os.pipe())
        start = [sys.executable, "-c", START, str(orders_out), str(news_in)]
        with (home / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                [*start, program, *FLAGS, f"--user-data-dir={home}", "about:blank"],
                pass_fds=(orders_out, news_in), stdout=errors, stderr=errors, env={**os.environ, "HOME": str(home)})
        os.close(orders_out)
        os.close(news_in)
        self._orders, self._news, self._errors = orders_in, news_out, home / "stderr"
        self._buffer, self._last = b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; what happens meanwhile is kept in `events`."""
        self._last += 1
        order = {"id": self._last, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        answer = self.wait(lambda message: message.get("id") == order["id"])
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message that is wanted; events that pass by are kept."""
        until = time.monotonic() + PATIENCE_S
        while True:
            message = self._receive(until)
            if "method" in message:
                self.events.append(message)
            if wanted(message):
                return message

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._news], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser said nothing for {PATIENCE_S:.0f} s: {self._errors.read_text()[-800:]}"
            read = os.read(self._news, 1 << 20)
            assert read, f"the browser has gone: {self._errors.read_text()[-800:]}"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        """End it, kindly first."""
        os.close(self._orders)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._news)


def _high(descriptor: int) -> int:
    """The same pipe under a number that is not one of those the browser expects."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return high


class Page:
    """One tab with a file in it."""

    def __init__(self, browser: Browser, path: Path, width: int = 1280, dark: bool = False) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width)
        self.media(dark=dark)
        self.url = path.resolve().as_uri()
        self.call("Page.navigate", url=self.url)
        browser.wait(lambda message: message.get("method") == "Page.loadEventFired"
                     and message.get("sessionId") == self._session)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command of this tab."""
        return self._browser.call(method, self._session, **parameters)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def resize(self, width: int, height: int = 900) -> None:
        """The viewport in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 500)

    def media(self, kind: str = "screen", dark: bool = False) -> None:
        """``screen`` or ``print``, light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def press(self, key: str, code: int) -> None:
        """A key of the keyboard, down and up."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def complaints(self) -> list[str]:
        """Errors on the console, exceptions, and whatever was asked of a network."""
        found = []
        for event in self._browser.events:
            parameters = event.get("params", {})
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            if event["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
            if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
            if event["method"] == "Network.requestWillBeSent" and parameters["request"]["url"] != self.url \
                    and not parameters["request"]["url"].startswith("data:"):
                found.append(f"request for {parameters['request']['url']}")
        return found

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """The page as a PNG."""
        image = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(image))

    def pdf(self, path: Path) -> None:
        """What a printer would get."""
        self.media("print")
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True,
                                                    printBackground=True)["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser for the tests within."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        running = Browser(find_browser(), Path(home))
        try:
            yield running
        finally:
            running.close()
