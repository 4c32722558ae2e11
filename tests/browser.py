"""One page in a headless browser, spoken to over a pipe by the Chrome DevTools Protocol; no package is needed for it."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"))
    ),
    None,
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome on the PATH")

PATIENCE = 10.0
# The protocol's pipe is file descriptors 3 and 4, which Python itself may be using while it forks.
LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """A page in a headless browser; keeps what the page complained about."""

    def __init__(self, profile: Path) -> None:
        assert BROWSER
        ours_out, theirs_in = os.pipe()[::-1]
        theirs_out, ours_in = os.pipe()[::-1]
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-quic "
            "--disable-background-networking --disable-component-update --disable-sync --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *map(str, theirs), BROWSER, *flags.split(), f"--user-data-dir={profile}"],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (theirs_in, theirs_out, *theirs):
            os.close(end)
        self._in, self._out, self._buffer, self._number = ours_in, ours_out, b"", 0
        self._session: dict[str, str] = {}
        self._events: list[dict[str, Any]] = []
        self._home: tuple[str, ...] = ("file:", "about:")
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(
        self,
        page: Path | str,
        fragment: str = "",
        width: int = 1200,
        dark: bool = False,
        script: bool = True,
        height: int = 900,
    ) -> None:
        """A fresh load of a file or an address; a change of the fragment alone would not load the page again."""
        address = page.as_uri() if isinstance(page, Path) else page
        self._home = ("file:", "about:") if isinstance(page, Path) else ("about:", "data:", "blob:", f"{address}/")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        for url in ("about:blank", address + fragment):
            self._events.clear()
            self.call("Page.navigate", url=url)
            while not any(event["method"] == "Page.loadEventFired" for event in self._events):
                self._note(self._read())

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never true: {expression}; {self.run('location.hash')}"
            time.sleep(0.02)

    def press(self, key: str, text: str = "") -> None:
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
        virtual = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.call("Input.dispatchKeyEvent", key=key, code=key, **down, **virtual)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, **virtual)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait(PATIENCE)

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(end - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "the browser has gone"
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        if "method" not in event:
            return
        self._events.append(event)
        if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(event["params"]))
        if event["method"] == "Network.requestWillBeSent":
            url = event["params"]["request"]["url"]
            if not url.startswith(self._home):
                self.complaints.append(f"asked for {url}")


@pytest.fixture(scope="module", name="shared")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(name="browser")
def watched(shared: Browser) -> Iterator[Browser]:
    """The browser, which must have had nothing to complain about by the end of the test."""
    shared.complaints.clear()
    yield shared
    shared.run("location.href")
    assert shared.complaints == []
