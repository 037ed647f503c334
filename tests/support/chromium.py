"""A real Chromium without a window, driven over a pipe by its own DevTools protocol."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Page:
    """One page that is open.

    Args:
        send: where commands go.
        receive: where answers and events come from, each with a NUL after it.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._number, self._rest, self._session = 0, b"", ""
        self.requests: list[str] = []
        self.problems: list[str] = []

    def open(self, path: Path, ready: str = "typeof verifyBundle === 'function'") -> None:
        """Open a local page, and note from then on what it asks for and complains of.

        Args:
            path: the page.
            ready: what is true once it can be used; the verifier's page where nothing else is said.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Network", "Log", "Page", "Runtime", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=path.as_uri())
        self.evaluate(
            "new Promise(done => { const look = () => document.readyState === 'complete' && "
            f"{ready} ? done(true) : setTimeout(look, 10); look(); }})"
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; a promise is waited for.

        Raises:
            RuntimeError: it threw.
        """
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def choose(self, selector: str, paths: list[Path]) -> None:
        """Choose files or folders in an input, as a person does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """One command and its answer.

        Raises:
            RuntimeError: Chromium refused it.
        """
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            elif answer.get("method") == "Log.entryAdded":
                self.problems.append(answer["params"]["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._receive, 1 << 16)
            if not more:
                raise RuntimeError("Chromium ended")
            self._rest += more
        one, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        return message


@contextmanager
def chromium(binary: str, profile: Path) -> Iterator[Page]:
    """Start Chromium without a network of its own and end it."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    # Chromium reads commands from 3 and writes answers to 4.
    command = f'exec "$0" "$@" 3<&{to_read} 4>&{from_write}'
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    arguments += [f"--user-data-dir={profile}", "--disable-dev-shm-usage", "--no-first-run"]
    process = subprocess.Popen(
        ["bash", "-c", command, binary, *arguments],
        pass_fds=(to_read, from_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Page(to_write, from_read)
    finally:
        os.close(to_write)
        process.terminate()
        process.wait(timeout=20)
        os.close(from_read)
