"""A plotly FigureWidget that does not carry plotly's JavaScript.

Plotly's own FigureWidget sends its 5 MB bundle with every figure. Here the bundle is the value of
one hidden widget a kernel; a figure sends a few lines that fetch it from there, once a page.
"""

from __future__ import annotations

import anywidget
import plotly.graph_objects as go
import traitlets
from ipywidgets import widget_serialization
from plotly.basewidget import BaseFigureWidget

SHIM = """
async function bundle(model) {
  const reference = model.get("_bundle");
  const id = reference.slice("IPY_MODEL_".length);
  const loaded = (globalThis.labkitBundles ??= new Map());
  if (!loaded.has(id)) {
    loaded.set(id, (async () => {
      const holder = await model.widget_manager.get_model(id);
      const blob = new Blob([holder.get("source")], { type: "text/javascript" });
      const url = URL.createObjectURL(blob);
      const module = await import(url);
      URL.revokeObjectURL(url);
      return module.default;
    })());
  }
  const widget = await loaded.get(id);
  return typeof widget === "function" ? await widget() : widget;
}
const started = new WeakMap();
function start(model) {
  if (!started.has(model.widget_manager)) started.set(model.widget_manager, new Map());
  const models = started.get(model.widget_manager);
  const key = model.get("_labkit_id");
  if (!models.has(key)) {
    models.set(key, bundle(model).then(async (widget) => {
      await widget.initialize?.({ model });
      return widget;
    }));
  }
  return models.get(key);
}
export default {
  initialize({ model }) { start(model); },
  async render(context) {
    const widget = await start(context.model);
    return widget.render(context);
  },
};
"""


class Bundle(anywidget.AnyWidget):
    """Holds plotly's JavaScript for all figures of this kernel; it has no picture of its own."""

    _esm = "export default { render() {} };"
    source = traitlets.Unicode().tag(sync=True)


_bundle: Bundle | None = None
_num_figures = 0


def shared_bundle() -> Bundle:
    """The one bundle of this kernel, made when it is first needed."""
    global _bundle
    if _bundle is None or _bundle.comm is None:
        _bundle = Bundle(source=str(BaseFigureWidget._esm))
    return _bundle


class FigureWidget(go.FigureWidget):
    """``plotly.graph_objects.FigureWidget`` whose JavaScript travels once, not with every figure."""

    _esm = SHIM
    _bundle = traitlets.Instance(Bundle).tag(sync=True, **widget_serialization)
    _labkit_id = traitlets.Unicode().tag(sync=True)

    @traitlets.default("_bundle")
    def _default_bundle(self) -> Bundle:
        return shared_bundle()

    @traitlets.default("_labkit_id")
    def _default_id(self) -> str:
        global _num_figures
        _num_figures += 1
        return str(_num_figures)
