"""Twenty figure widgets in real Lab: the JavaScript travels once, and they react."""

import re
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect
from plotly.basewidget import BaseFigureWidget

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CELLS = (
    "import ipywidgets as widgets\nimport plotly.graph_objects as go\n"
    "from labkit.widgets.figure_widget import FigureWidget\n"
    "figures = [FigureWidget(go.Figure(go.Scatter(y=[1, 2, k]))) for k in range(20)]\n"
    "for figure in figures:\n    display(figure)",
    "slider = widgets.IntSlider(max=50)\n"
    "moving = FigureWidget(go.Figure(go.Scatter(y=[0, 0])))\n"
    "def move(change):\n    moving.data[0].y = [0, change['new']]\n"
    "slider.observe(move, 'value')\nwidgets.VBox([slider, moving])",
)


def open_cells(lab, cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return lab(Path("figures.ipynb"), nbformat.writes(notebook))


def test_twenty_figures_load_the_javascript_once(lab):
    page = open_cells(lab, CELLS)
    page.run_all(timeout_s=120)
    page.page.wait_for_function("() => document.querySelectorAll('.js-plotly-plot .main-svg').length >= 21")
    size = len(str(BaseFigureWidget._esm))
    assert size <= page.received_bytes < 1.5 * size

    widget = page.page.locator(".widget-vbox").last
    widget.scroll_into_view_if_needed()
    line = widget.locator(".js-plotly-plot .scatterlayer .js-line")
    before = line.get_attribute("d")
    widget.locator(".noUi-handle").focus()
    page.page.keyboard.press("ArrowRight")
    expect(line).not_to_have_attribute("d", before)
    assert page.foreign_requests == []
    assert page.errors == []


# A page that is busy for two seconds, without the two seconds
GIVES_UP = "const wait = AbortSignal.timeout; AbortSignal.timeout = (ms) => wait.call(AbortSignal, ms === 2000 ? 0 : ms)"


def test_widgets_hear_the_kernel_although_the_page_was_busy_when_they_were_made(lab):
    """anywidget gives up a model that takes longer than two seconds, and drops its messages."""
    cells = [
        "\n".join([*CELLS[0].split("\n")[:3], CELLS[1]]),
        "from labkit.widgets.bit_editor import BitEditor\nBitEditor('1', 'binary16')",
        # Here the kernel speaks before the page can hear it.
        "from labkit import flashcards\ncards = flashcards('00_start_here')\ndisplay(cards)\ncards.known()",
        "from labkit.widgets.replace import replace_figure\nbars = go.Figure(go.Bar(y=[1, 2]), layout_title_text='bars')\n"
        "replaced = FigureWidget(go.Figure(go.Scatter(y=[1, 2])))\ndisplay(replaced)\nreplace_figure(replaced, bars)",
    ]
    page = open_cells(lab, cells)
    page.page.evaluate(GIVES_UP)
    page.run_all(timeout_s=120)
    line = page.page.locator(".js-plotly-plot .scatterlayer .js-line").first
    line.wait_for(state="attached")
    assert page.given_up > 0
    before = line.get_attribute("d")
    page.page.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("ArrowRight")
    expect(line).not_to_have_attribute("d", before)

    editor, cards = (page.page.locator(".jp-CodeCell").nth(k) for k in (1, 2))
    editor.locator(".bit").first.click()
    expect(editor.locator("[data-reading='exact value']")).to_have_text("-1")
    expect(cards.locator(".score")).to_have_text(re.compile("^1 of "))
    cards.get_by_role("button", name="Turn", exact=True).click()
    cards.get_by_role("button", name="I knew it").click()
    expect(cards.locator(".score")).to_have_text(re.compile("^2 of "))
    expect(page.page.locator(".jp-CodeCell").nth(3).locator(".gtitle")).to_have_text("bars")
    assert page.errors == []


def test_a_figure_is_shown_as_it_is_now(lab):
    """Shown twice, changed before the page was ready, and after a change that the page could not make."""
    cells = [
        f"{CELLS[0].rpartition('figures = ')[0]}"
        "twice = FigureWidget(go.Figure(go.Scatter(y=[1, 2]), layout_title_text='first'))\ntwice",
        "twice.data[0].y = [1, 2, 3]\ntwice.layout.title.text = 'second'",
        "twice",
        "early = FigureWidget(go.Figure(go.Scatter(y=[1, 2])))\ndisplay(early)\nearly.add_scatter(y=[2, 1]);",
        "early.add_scatter(y=[2, 2])\nearly.layout.title.text = 'three'",
        "broken = FigureWidget(go.Figure(go.Scatter(y=[1, 2]), layout_title_text='first'))\nbroken",
        "broken._layout['title'] = {'text': 'second'}\n"  # a change that the page is not told of,
        "broken._py2js_deleteTraces = {'delete_inds': [7], 'layout_edit_id': 1, 'trace_edit_id': 1}",  # and an error
        "broken.layout.title.text = 'third'",
    ]
    page = open_cells(lab, cells)
    of_cell = page.page.locator(".jp-CodeCell")
    for number, title in ((1, "first"), (2, None), (3, "second"), (4, None), (5, None), (6, "first"), (7, None)):
        page.page.locator(".jp-CodeCell .cm-content").nth(number - 1).click()
        page.page.keyboard.press("Control+Enter")
        expect(of_cell.nth(number - 1).locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]"))
        if title:
            expect(of_cell.nth(number - 1).locator(".gtitle")).to_have_text(title)
        if number == 4:
            expect(of_cell.nth(3).locator(".scatterlayer .trace")).to_have_count(2)
    expect(of_cell.nth(0).locator(".gtitle")).to_have_text("second")
    expect(of_cell.nth(3).locator(".gtitle")).to_have_text("three")
    expect(of_cell.nth(3).locator(".scatterlayer .trace")).to_have_count(3)
    expect(of_cell.nth(5).locator(".gtitle")).to_have_text("second")
    page.page.locator(".jp-CodeCell .cm-content").nth(7).click()
    page.page.keyboard.press("Control+Enter")
    expect(of_cell.nth(5).locator(".gtitle")).to_have_text("third")
    assert page.errors and all("must be valid indices" in error for error in page.errors)
