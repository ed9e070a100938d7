"""Twenty figure widgets in real Lab: the JavaScript travels once, and they react."""

from pathlib import Path

import nbformat
import pytest
from plotly.basewidget import BaseFigureWidget

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

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


def test_twenty_figures_load_the_javascript_once(lab):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("figures.ipynb"), nbformat.writes(notebook))
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
    page.page.wait_for_timeout(1500)
    assert line.get_attribute("d") != before
    assert page.foreign_requests == []
    assert page.errors == []


# A page that is busy for two seconds, without the two seconds
GIVES_UP = "const wait = AbortSignal.timeout; AbortSignal.timeout = (ms) => wait.call(AbortSignal, ms === 2000 ? 0 : ms)"


def test_a_figure_hears_the_kernel_although_the_page_was_busy_when_it_was_made(lab):
    """anywidget gives up a model that takes longer than two seconds, and drops its messages."""
    text = "\n".join([*CELLS[0].split("\n")[:3], CELLS[1]])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("busy.ipynb"), nbformat.writes(notebook))
    page.page.evaluate(GIVES_UP)
    page.run_all(timeout_s=120)
    line = page.page.locator(".js-plotly-plot .scatterlayer .js-line")
    line.wait_for(state="attached", timeout=60_000)
    assert any("Failed to initialize model" in text for text in page.errors), page.errors
    before = line.get_attribute("d")
    page.page.locator(".noUi-handle").focus()
    page.page.keyboard.press("ArrowRight")
    moved = "(before) => document.querySelector('.scatterlayer .js-line').getAttribute('d') !== before"
    page.page.wait_for_function(moved, arg=before, timeout=20_000)
