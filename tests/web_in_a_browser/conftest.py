"""The page on a free port of this machine, and Debian's chromium to look at it with."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import runner

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """The address at which the application answers meanwhile."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def base() -> Iterator[str]:
    """The address of a running service."""
    wiring = Wiring(ruleset=runner().ruleset, assess=assess, encode_response=encode_response)
    with serving(create_app(WebConfig(development=True), wiring, make_log(io.BytesIO()))) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed; `make chromium` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Watched:
    """A page, and everything that went wrong on it."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base, self.complaints = base, []
        self.refusals_expected = False
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective))"
        )
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)
        self.page.on("dialog", self._dialog)

    complaints: list[str]

    def go(self, path: str = "/") -> Page:
        self.page.goto(self.base + path)
        return self.page

    def check(self) -> None:
        assert not self.complaints

    def _console(self, message: Any) -> None:
        # chromium itself writes a line for each answer of 400 and above
        refused = self.refusals_expected and message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not refused:
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith(self.base + "/"):
            self.complaints.append(f"request to {request.url}")

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append("a script of the record ran")
        dialog.dismiss()


@pytest.fixture
def opened(browser: Browser, base: str) -> Iterator[Any]:
    """Opens a watched page; takes what a browser context takes. At the end nothing may have gone wrong."""
    made: list[tuple[BrowserContext, Watched]] = []

    def open_page(**settings: Any) -> Watched:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        watched = Watched(context, base)
        made.append((context, watched))
        return watched

    yield open_page
    for context, watched in made:
        context.close()
        watched.check()
