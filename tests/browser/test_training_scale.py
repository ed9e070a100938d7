"""The explorer of training at scale in real Lab: its controls change its pictures; ZeRO's table is drawn whole."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

CELLS = (
    "from labkit.widgets.training_scale import TrainingScale\nTrainingScale('vgg16')",
    "from IPython.display import display\nfrom labkit.training.scale.zero_table import zero_table\n"
    "from labkit.views.display import figure_bundle\nfrom labkit.views.training_scale import zero_memory_figure\n"
    "display(figure_bundle(zero_memory_figure(zero_table(7.5e9, (1, 4, 64)), limit_bytes=80e9)), raw=True)",
    "from labkit.training.scale.curves import horovod_curves\nfrom labkit.training.scale.horovod import fit_constants\n"
    "from labkit.views.training_scale import training_scaling_figure\n"
    "display(figure_bundle(training_scaling_figure(horovod_curves(fit_constants()), points='published')), raw=True)",
)


def test_the_explorer_follows_its_controls(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("training_scale.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=120)
    explorer, zero, horovod = (page.page.locator(".jp-CodeCell").nth(k) for k in range(3))

    explorer.scroll_into_view_if_needed()
    explorer.get_by_text("553 MB of gradients").wait_for()
    explorer.locator(".gtitle", has_text="One step on 512 GPUs with ring").wait_for()
    page.page.screenshot(path=str(tmp_path / "explorer.png"))
    explorer.locator("select").first.select_option("ResNet-50")
    explorer.locator(".gtitle", has_text="ResNet-50").wait_for()
    explorer.get_by_text("102 MB of gradients").wait_for()
    explorer.locator("select").nth(1).select_option("infiniband-hdr")
    explorer.locator(".gtitle", has_text="infiniband-hdr").wait_for()
    for number, cell in enumerate((zero, horovod)):
        cell.scroll_into_view_if_needed()
        cell.locator(".main-svg").first.wait_for()
        page.page.screenshot(path=str(tmp_path / f"figure{number}.png"))
    expect(zero.locator(".bars .point")).to_have_count(27)
    expect(horovod.locator(".scatterlayer .points path")).to_have_count(6)
    assert page.foreign_requests == []
    assert page.errors == []
