"""Fixtures: a browser and a Lab for the session, a page for each test."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import CHROMIUM_OPTIONS, WAIT_MS, LabPage, LabServer, environment_now, find_chromium


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import expect, sync_playwright

    path = find_chromium()
    with sync_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def servers():
    """(What it inherits, the Lab that tests share in a list that is empty until the first of them needs it.)"""
    shared = []
    yield environment_now(), shared
    for server in shared:
        server.stop()


@pytest.fixture
def lab(tmp_path, tmp_path_factory, browser, servers):
    """``lab(notebook)``: copies a notebook into ``tmp_path`` and opens it in a Lab where nothing runs; gives the page.

    All tests share one Lab, but for those that have set environment variables: they get their own.
    """
    outside, shared = servers
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(WAIT_MS)
    server, pages = None, []

    def open_notebook(path: Path, text: str | None = None) -> LabPage:
        nonlocal server
        server = server or find_server()
        target = tmp_path / path.name
        target.write_text(path.read_text() if text is None else text)
        page = LabPage(context.new_page(), server)
        pages.append(page)
        page.open(str(target.relative_to(server.root)))
        return page

    def find_server() -> LabServer:
        if environment_now() != outside:
            return LabServer(tmp_path)
        if not shared:
            shared.append(LabServer(tmp_path_factory.getbasetemp()))
        return shared[0]

    yield open_notebook
    print(*(f"{page.path.name}: {error}" for page in pages for error in page.errors), sep="\n")  # shown if a test fails
    context.close()
    if server in shared:
        server.end_kernels()
    elif server:
        server.stop()
