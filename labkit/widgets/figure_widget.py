"""A plotly FigureWidget that does not carry plotly's JavaScript, and loses no change.

Plotly's own FigureWidget sends its 5 MB bundle with every figure. Here the bundle is the value of
one hidden widget a kernel; a figure sends a few lines that fetch it from there, once a page.

Plotly's own also loses changes that are made while the page is still loading its JavaScript, such
as a trace added right after the widget was made. Here a figure is sent when it is first shown, as it
then is; and a page says which edits it has seen when it is ready, so that one that has missed some gets
the whole figure again.
"""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256
from uuid import uuid4

import anywidget
import plotly.graph_objects as go
import traitlets
from ipywidgets import widget_serialization
from plotly.basewidget import BaseFigureWidget

SHIM = """
const bundles = (globalThis.labkitBundles ??= new Map());  // one a page, whatever the kernel

async function importText(text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function plotly(model) {
  const id = model.get("_bundle").slice("IPY_MODEL_".length);
  const holder = await model.widget_manager.get_model(id);
  const digest = holder.get("digest");
  if (!bundles.has(digest)) bundles.set(digest, importText(holder.get("source")));
  try {
    return await (await bundles.get(digest))();
  } catch (error) {
    bundles.delete(digest);  // the next figure tries again
    throw error;
  }
}

// anywidget gives up a model that is not ready within two seconds, as on a page that is busy with other things: it
// still draws it, but drops all that the kernel says from then on. So a figure takes its messages itself.
async function hear(model) {
  const own = await model.widget_manager.get_model(model.get("_own_id"));
  const plain = Object.getPrototypeOf(Object.getPrototypeOf(own));  // the model of ipywidgets below anywidget's
  own.comm?.on_msg((message) => plain._handle_comm_msg.call(own, message));
}

export default () => {  // anywidget calls this once for each figure
  const views = new Set();
  let ready;
  return {
    initialize({ model }) {
      // Not awaited: a model that takes longer than two seconds is given up.
      ready = plotly(model).then(async (widget) => {
        await hear(model);
        widget.initialize({ model });
        model.on("change:_num_edits_sent", () => views.forEach((draw) => draw()));
        model.send({ type: "edits seen", number: model.get("_num_edits_sent") });
        return widget;
      });
    },
    async render(context) {
      const widget = await ready;
      let remove;
      const draw = () => {
        if (!views.has(draw)) return;  // gone before it was seen
        if (!context.el.isConnected) {
          requestAnimationFrame(draw);  // plotly takes its width from the page
          return;
        }
        remove?.();
        context.el.replaceChildren();
        remove = widget.render(context);
      };
      views.add(draw);
      draw();
      return () => {
        views.delete(draw);
        remove?.();
      };
    },
  };
};
"""


class Bundle(anywidget.AnyWidget):
    """Holds plotly's JavaScript for all figures of this kernel; it has no picture of its own."""

    _esm = "export default { render() {} };"
    source = traitlets.Unicode().tag(sync=True)
    digest = traitlets.Unicode().tag(sync=True)


_bundle: Bundle | None = None


def shared_bundle() -> Bundle:
    """The one bundle of this kernel, made when it is first needed."""
    global _bundle
    if _bundle is None or _bundle.comm is None:
        source = str(BaseFigureWidget._esm)
        _bundle = Bundle(source=source, digest=sha256(source.encode()).hexdigest())
    return _bundle


class FigureWidget(go.FigureWidget):
    """``plotly.graph_objects.FigureWidget`` whose JavaScript travels once, not with every figure."""

    _esm = SHIM
    _bundle = traitlets.Instance(Bundle).tag(sync=True, **widget_serialization)
    _num_edits_sent = traitlets.Int(0).tag(sync=True)  # how many edits the data and layout sent include
    _own_id = traitlets.Unicode().tag(sync=True)  # by which the page finds the model
    _was_sent_again = False  # whole, with other traces than those the page began with

    @traitlets.default("_bundle")
    def _default_bundle(self) -> Bundle:
        return shared_bundle()

    def open(self) -> None:
        """Nothing: the page learns of a figure when it is shown, which needs its ``model_id``."""

    @property
    def model_id(self) -> str:
        """Name of the figure in the page; the figure is sent when this is first asked for."""
        if self.comm is None:
            self._model_id = self._own_id = uuid4().hex
            self._take_state()
            super().open()
        return self.comm.comm_id

    def refresh_for_late_pages(self) -> None:
        """Send what is shown also as the whole figure, for a page that is still loading its JavaScript.

        Such a page misses the changes of a figure that changes while a cell runs, and a kernel that runs a cell
        does not hear it ask. A page that draws the figure already takes no notice.
        """
        if self.comm is not None:
            with self.hold_sync():
                self._widget_layout = deepcopy(self._layout_obj._props)
                self._widget_data = deepcopy(self._data)

    def _take_state(self) -> None:
        """Bring what is sent as the whole figure up to date: plotly changes its parts one by one."""
        self._widget_layout = deepcopy(self._layout_obj._props)
        self._widget_data = deepcopy(self._data)
        self._num_edits_sent = self._last_trace_edit_id + self._last_layout_edit_id

    def _handle_custom_msg(self, content, buffers) -> None:
        if content.get("type") == "edits seen":
            if content["number"] < self._last_trace_edit_id + self._last_layout_edit_id:
                with self.hold_sync():
                    self._take_state()
            return
        super()._handle_custom_msg(content, buffers)

    def _repr_mimebundle_(self, *args, **kwargs) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        title = self.layout.title.text or "figure"
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": f"<figure: {title}>"}
