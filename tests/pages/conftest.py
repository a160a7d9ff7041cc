"""A farm over SQLite, a client that is signed in, and a browser."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from farmgate.clock import SystemClock, stopwatch
from farmgate.models import TokenKind
from tests.applications import leave
from tests.conftest import need
from tests.databases import prepared
from tests.pages.farm import Farm, TestClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOK_AGAIN = timedelta(milliseconds=20)
ORIGIN = {"Origin": "http://testserver"}


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    store = prepared(f"sqlite:///{tmp_path}/farm.db")
    farm = Farm.on(store, tmp_path)
    yield farm
    leave(farm.app)
    store.close()


@pytest.fixture
def stranger(farm: Farm) -> Iterator[TestClient]:
    with TestClient(farm.app, follow_redirects=False, headers={"Accept": "text/html"}) as client:
        yield client


@pytest.fixture
def client(farm: Farm, stranger: TestClient) -> TestClient:
    """A browser that signed in."""
    stranger.cookies.set("farmgate_session", farm.token(kind=TokenKind.SESSION))
    stranger.headers.update(ORIGIN)
    return stranger


@pytest.fixture(scope="module")  # while it is open, no other event loop may run in this thread
def browser() -> Iterator[Browser]:
    need("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def address(farm: Farm) -> Iterator[str]:
    """The farm served on the loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        farm.app, log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=1, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    clock, deadline = SystemClock(), stopwatch() + 10
    while not server.started:
        assert stopwatch() < deadline, "the server did not start within 10 s"
        clock.wait(threading.Event(), LOOK_AGAIN)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def page(farm: Farm, browser: Browser, address: str) -> Iterator[Page]:
    """A tab that is signed in; anything the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="Europe/Berlin")
    session = {"name": "farmgate_session", "value": farm.token(kind=TokenKind.SESSION), "url": address}
    context.add_cookies([session])  # type: ignore[list-item]
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(10_000)
    yield page
    context.close()
    assert complaints == []
