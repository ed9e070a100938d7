"""Fixtures: a browser for the session, a Lab and a page for each test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import CHROMIUM_OPTIONS, LabPage, LabServer, find_chromium


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def lab(tmp_path, browser):
    """``lab(notebook)``: copies a notebook into a fresh Lab and opens it; gives the page."""
    server = LabServer(tmp_path)
    context = browser.new_context(viewport={"width": 1280, "height": 1000})

    def open_notebook(path: Path, text: str | None = None) -> LabPage:
        target = tmp_path / path.name
        target.write_text(path.read_text() if text is None else text)
        page = LabPage(context.new_page(), server)
        page.open(target.name)
        return page

    yield open_notebook
    context.close()
    server.stop()
