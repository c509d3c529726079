"""Chromium without a screen, told what to do over its DevTools protocol.

The protocol runs over two pipes (`--remote-debugging-pipe`): messages of JSON, each ended by a zero
byte. That takes no port, no WebSocket and no library.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Starting takes a second on an idle machine.
PATIENCE_S = 60.0

Message = dict[str, Any]


class Browser:
    """One page of one browser. `events` are all that it told since `open`."""

    def __init__(self, process: subprocess.Popen[bytes], read: int, write: int) -> None:
        self._process, self._read, self._write = process, read, write
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[Message] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            self._ask(f"{domain}.enable")

    # --- what a person does ----------------------------------------------------------------------

    def look(self, width: int, *, dark: bool = False, high: int = 800) -> None:
        """A window of this width: below 500 px a phone's."""
        phone = width < 500
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=high, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        self.events.clear()
        self._ask("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def type(self, selector: str, text: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self._ask("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of it: what covers it takes the click."""
        place = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._ask(
                "Input.dispatchMouseEvent",
                type=kind, x=place[0], y=place[1], button="left", clickCount=1,
            )  # fmt: skip

    def without_script(self, off: bool) -> None:
        self._ask("Emulation.setScriptExecutionDisabled", value=off)

    def key(self, name: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    # --- what it shows ---------------------------------------------------------------------------

    def run(self, expression: str) -> Any:
        """The value of JavaScript in the page."""
        said = self._ask("Runtime.evaluate", expression=expression, returnByValue=True,
                         awaitPromise=True)  # fmt: skip
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def picture(self, high: int | None = None) -> bytes:
        """The page from its top, as PNG; the whole of it, or the first `high` pixels."""
        wide = self.run("document.documentElement.clientWidth")
        whole = self.run("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": wide, "height": high or whole, "scale": 1}
        shot = self._ask("Page.captureScreenshot", format="png", clip=clip,
                         captureBeyondViewport=True)  # fmt: skip
        return base64.b64decode(shot["data"])

    def asked_for(self) -> list[str]:
        """Every address that the page has asked for, also in vain."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """What a person would see in red in the console."""
        self.run("0")
        found = []
        for event in self.events:
            told = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
                found.append(told["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and told["type"] == "error":
                found.append(str(told["args"]))
        return found

    # --- the protocol ----------------------------------------------------------------------------

    def wait(self, method: str) -> Message:
        """The event of this name, come or yet to come."""
        while True:
            found = next((e for e in self.events if e["method"] == method), None)
            if found is not None:
                return found
            self._take()

    def _ask(self, method: str, **parameters: Any) -> Message:
        self._number += 1
        number = self._number
        message: Message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._take()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _take(self) -> Message:
        """The next message; an event is kept."""
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._rest:
            with selectors.DefaultSelector() as selector:
                selector.register(self._read, selectors.EVENT_READ)
                ready = selector.select(max(0.0, deadline - time.monotonic()))
            assert ready, f"the browser says nothing for {PATIENCE_S:.0f} s"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, f"the browser has ended: {self._process.poll()}"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        message: Message = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


@contextmanager
def chromium(folder: Path, before: Sequence[str] = ()) -> Iterator[Browser]:
    """A browser with its profile in `folder`; `before` is put in front of its command."""
    to_browser, from_browser = os.pipe(), os.pipe()
    # Clear of 3 and 4, where the browser looks for them.
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_browser[0], from_browser[1])]
    command = [
        *before,
        *("bash", "-c", f'exec 3<&{theirs[0]} 4>&{theirs[1]}; exec "$@"', "bash"),
        "chromium",
        "--headless=new",
        "--remote-debugging-pipe",
        # It runs as root, in a namespace, and meets pages of ours only.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
    ]
    log = (folder / "chromium.log").open("wb")
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=theirs,
        env={**os.environ, "HOME": str(folder)},
        start_new_session=True,
    )
    for fd in (to_browser[0], from_browser[1], *theirs):
        os.close(fd)
    try:
        yield Browser(process, from_browser[0], to_browser[1])
    finally:
        # It ends when its pipe does.
        os.close(to_browser[1])
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)
        os.close(from_browser[0])
        log.close()
