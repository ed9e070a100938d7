"""A plotly FigureWidget that does not carry plotly's JavaScript, and loses no change.

Plotly's own FigureWidget sends its 5 MB bundle with every figure. Here the bundle is the value of
one hidden widget a kernel; a figure sends a few lines that fetch it from there, once a page.

Plotly's own also loses changes: those that are made while the page is still loading its JavaScript, such
as a trace added right after the widget was made; those made before it is shown once more; those made in one
thread while another takes what the page says (Lab's pages speak to a thread of their own); and all that come
after one in which the page fails. Here a figure is sent when it is first shown, as it then is; a page
says which edits it has seen whenever it begins to show the figure, or has failed, and gets the whole figure again if
it has missed some; and threads take turns.
"""

from __future__ import annotations

from copy import deepcopy
from functools import wraps
from hashlib import sha256
from threading import RLock
from uuid import uuid4

import anywidget
import plotly.graph_objects as go
import traitlets
from ipywidgets import widget_serialization
from plotly.basewidget import BaseFigureWidget

from labkit.widgets.heard import HEAR

SHIM = HEAR + """
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

function attempt(act, failed) {
  try {
    return act();
  } catch (error) {
    console.error(error);
    failed?.();
  }
}

export default () => {  // anywidget calls this once for each figure
  const views = new Set();
  let ready, report, heard = [];

  // Plotly's model and views see the model through this. An error in one of them does not stop the others, nor what
  // comes later: the kernel is asked for the whole figure.
  const guard = (model) => ({
    get: (name) => model.get(name),
    set: (name, value) => model.set(name, value),
    save_changes: () => model.save_changes(),
    on(event, listener) {
      const guarded = () => attempt(listener, () => report(-1));
      model.on(event, guarded);
      heard.push(() => model.off(event, guarded));
    },
  });

  return {
    initialize({ model }) {
      report = (number) => model.send({ type: "edits seen", number });
      // Not awaited: a model that takes longer than two seconds is given up.
      ready = plotly(model).then(async (widget) => {
        await hear(model);
        widget.initialize({ model: guard(model) });
        model.on("change:_num_edits_sent", () => views.forEach((draw) => draw()));
        return widget;
      });
    },
    async render({ model, el }) {
      const widget = await ready;
      let drawn, listening = [];
      const end = () => {
        listening.forEach((stop) => stop());
        attempt(() => drawn?.());
        drawn = undefined;
      };
      const draw = () => {
        if (!views.has(draw)) return;  // gone before it was seen
        if (!el.isConnected) {
          requestAnimationFrame(draw);  // plotly takes its width from the page
          return;
        }
        const isFirst = !listening.length;
        end();
        el.replaceChildren();
        listening = heard = [];
        drawn = attempt(() => widget.render({ el }));
        if (isFirst) report(model.get("_num_edits_sent"));  // it hears all from here on, and may have missed some before
      };
      views.add(draw);
      draw();
      return () => {
        views.delete(draw);
        end();
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


WHOLE = ("_widget_layout", "_widget_data", "_num_edits_sent", "_last_layout_edit_id", "_last_trace_edit_id")
_bundle: Bundle | None = None


def shared_bundle() -> Bundle:
    """The one bundle of this kernel, made when it is first needed."""
    global _bundle
    if _bundle is None or _bundle.comm is None:
        source = str(BaseFigureWidget._esm)
        _bundle = Bundle(source=source, digest=sha256(source.encode()).hexdigest())
    return _bundle


def _in_turn(name: str):
    """A method of plotly's that no two threads run at the same time."""
    method = getattr(go.FigureWidget, name)

    @wraps(method)
    def run(self, *args, **kwargs):
        with self.turn:
            return method(self, *args, **kwargs)

    return run


class FigureWidget(go.FigureWidget):
    """``plotly.graph_objects.FigureWidget`` whose JavaScript travels once, not with every figure.

    Attributes
    ----------
    turn : threading.RLock
        Held while changes are sent to the page, or taken from it; hold it to make several changes as one.
    """

    _esm = SHIM
    _bundle = traitlets.Instance(Bundle).tag(sync=True, **widget_serialization)
    _num_edits_sent = traitlets.Int(0).tag(sync=True)  # how many edits the data and layout sent include
    _own_id = traitlets.Unicode().tag(sync=True)  # by which the page finds the model
    _was_sent_again = False  # whole, with other traces than those the page began with

    # ipywidgets holds back what changes while it takes a message, and would drop another thread's changes.
    set_state = _in_turn("set_state")
    _send_addTraces_msg = _in_turn("_send_addTraces_msg")
    _send_deleteTraces_msg = _in_turn("_send_deleteTraces_msg")
    _send_moveTraces_msg = _in_turn("_send_moveTraces_msg")
    _send_restyle_msg = _in_turn("_send_restyle_msg")
    _send_relayout_msg = _in_turn("_send_relayout_msg")
    _send_update_msg = _in_turn("_send_update_msg")
    _send_animate_msg = _in_turn("_send_animate_msg")

    def __new__(cls, *args, **kwargs):
        widget = super().__new__(cls, *args, **kwargs)
        object.__setattr__(widget, "turn", RLock())
        return widget

    @traitlets.default("_bundle")
    def _default_bundle(self) -> Bundle:
        return shared_bundle()

    def open(self) -> None:
        """Nothing: the page learns of a figure when it is shown, which needs its ``model_id``."""

    @property
    def model_id(self) -> str:
        """Name of the figure in the page; the figure is sent when this is first asked for."""
        with self.turn:
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
            with self.turn, self.hold_sync():
                self._widget_layout = deepcopy(self._layout_obj._props)
                self._widget_data = deepcopy(self._data)

    def _take_state(self) -> None:
        """Bring what is sent as the whole figure up to date: plotly changes its parts one by one."""
        self._widget_layout = deepcopy(self._layout_obj._props)
        self._widget_data = deepcopy(self._data)
        self._num_edits_sent = self._last_trace_edit_id + self._last_layout_edit_id

    def _send_whole(self, is_new: bool) -> None:
        """Send all, also what was sent before: the page has missed it, or failed (then this counts as an edit)."""
        with self.hold_sync():
            self._last_layout_edit_id += is_new
            self._take_state()
            self._states_to_send.update(WHOLE)

    def _handle_custom_msg(self, content, buffers) -> None:
        if content.get("type") == "edits seen":
            with self.turn:
                if content["number"] < self._last_trace_edit_id + self._last_layout_edit_id:
                    self._send_whole(is_new=content["number"] < 0)
            return
        super()._handle_custom_msg(content, buffers)

    def _repr_mimebundle_(self, *args, **kwargs) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        title = self.layout.title.text or "figure"
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": f"<figure: {title}>"}
