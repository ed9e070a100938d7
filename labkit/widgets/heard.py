"""Widgets that hear the kernel also on a page that was busy when they were made.

anywidget gives up a model that is not ready within two seconds, as on a page that is busy with other things: it still
draws it, but drops all that the kernel says from then on. So a widget takes its messages itself, and asks for what it
may have missed.
"""

from __future__ import annotations

from uuid import uuid4

import anywidget
import traitlets

HEAR = """
async function hear(model) {
  const own = await model.widget_manager.get_model(model.get("_own_id"));
  const plain = Object.getPrototypeOf(Object.getPrototypeOf(own));  // the model of ipywidgets below anywidget's
  own.comm?.on_msg(async (message) => {
    try {
      await plain._handle_comm_msg.call(own, message);
    } catch (error) {
      own.state_change = Promise.resolve();  // else one message that fails ends them all
      throw error;
    }
  });
}
"""
INITIALIZE = HEAR + """
function initialize({ model }) {  // what is awaited here must not take two seconds, so nothing is
  hear(model).then(() => model.send({ type: "hears" }));
}
"""


class HeardWidget(anywidget.AnyWidget):
    """A widget whose page never misses the last ``state``.

    Its ``_esm`` begins with ``INITIALIZE``, and its default export has that function.
    """

    _own_id = traitlets.Unicode().tag(sync=True)  # by which the page finds the model
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, **values):
        own_id = uuid4().hex
        super().__init__(model_id=own_id, _own_id=own_id, **values)

    def _handle_custom_msg(self, content, buffers) -> None:
        if isinstance(content, dict) and content.get("type") == "hears":
            self.send_state("state")  # a page that has it takes no notice
            return
        super()._handle_custom_msg(content, buffers)
