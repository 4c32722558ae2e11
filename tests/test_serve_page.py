"""The page and the server that it is made for, together: in a real browser, under the server's own policy."""

import json
from typing import Any

import pytest
from browser import Browser, needs_browser, one_browser, watched
from echo import running

pytestmark = needs_browser
pytest_plugins = ["serving"]
__all__ = ["one_browser", "watched"]  # fixtures
ASKED = "SELECT id, name FROM item"


@pytest.mark.parametrize("key", [None, "secret"])
def test_the_page_asks_the_server(browser: Browser, make_service: Any, key: str | None) -> None:
    service = make_service(key=key)
    with running(service) as (host, port):
        browser.open(f"http://{host}:{port}")
        if key:
            browser.wait("document.querySelector('dialog[open] input')")
            browser.run("document.querySelector('dialog[open] input').value = 'secret'")
            browser.run("document.querySelector('dialog[open] form').requestSubmit()")
            assert all("status of 401" in complaint for complaint in browser.complaints)
            browser.complaints.clear()
        browser.wait("document.getElementById('database').value && document.querySelector('#list details')")
        browser.run("document.getElementById('question').focus()")
        browser.run(f"document.getElementById('question').value = {json.dumps(ASKED)}")
        browser.press("Enter", "\r")
        browser.wait("document.querySelectorAll('#result tbody tr').length === 3")
        assert browser.run("document.getElementById('sql').value") == ASKED
        assert service.answerer.begun == 1
