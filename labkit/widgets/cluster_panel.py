"""The panel of ``%cluster panel``: clusters and their state, nodes and ranks, last lines, buttons."""

from __future__ import annotations

import threading
import time

import ipywidgets as widgets

from labkit.cluster.activity import activity, is_busy
from labkit.cluster.options import ClusterOptions
from labkit.cluster.profiles import load_profiles
from labkit.widgets.cluster_actions import ClusterActions
from labkit.widgets.cluster_form import StartForm
from labkit.widgets.cluster_map import ClusterMap, CPUCounts
from labkit.widgets.cluster_rows import Row, as_code, as_html, error_sentence, find_rows, last_lines, map_nodes
from labkit.widgets.pulse import Pulse, Ticker

WAITING_S, RUNNING_S = 5.0, 15.0  # how often the batch system is asked while a job waits, and else
LOG_LINES, LOG_HEIGHT_PX = 12, 190
NO_CLUSTERS = "No ranks are running, and there are no clusters. Start one below, or run a %%mpi cell."


class ClusterPanel(widgets.VBox):
    """Clusters of this user, with buttons; up to date while a page shows it.

    Nothing waits in the kernel's thread: clusters are looked at in one thread, which ends when no page shows
    the panel any more; they are started, connected to and stopped in another.

    Parameters
    ----------
    magics : ClusterMagics
        Of the notebook: ``magics.mpi`` has the engines, ``magics.shell`` the kernel.

    Attributes
    ----------
    rows : tuple of Row
        What is shown.
    list : ipywidgets.Select
        The clusters; its value is the selected one's name.
    details, lines, message : ipywidgets.HTML
    map : ClusterMap
    form : StartForm
    connect_button, stop_button, yes_button, no_button, refresh_button, cancel_button : ipywidgets.Button
    actions : ClusterActions
    ticker : Ticker
    """

    def __init__(self, magics):
        self.mpi = magics.mpi
        self.rows: tuple[Row, ...] = ()
        self._lock = threading.RLock()  # of what is shown
        self._asked, self._quiet, self._own = 0.0, False, None
        self._cpus = CPUCounts()
        self.actions = ClusterActions(self.mpi, magics.shell, self._say, self._on_actions)
        self.ticker = Ticker(self._tick, lambda: bool(self.actions.doing) or is_busy(self.mpi.engines))
        self._make_parts()
        super().__init__([
            widgets.HBox([widgets.HTML("<b>Clusters</b>"), self.refresh_button, self.seen_at, Pulse(self.ticker.beat)],
                         layout=self._wrap | {"width": "100%"}),
            self.list, self.details, self.map, self.lines, self.buttons, self.message,
            widgets.HTML("<b>Start a cluster</b>"), self.form,
        ])
        self._show()

    def _make_parts(self) -> None:
        wide = {"width": "auto"}
        self._wrap = {"flex_flow": "row wrap", "align_items": "center"}
        self.list = widgets.Select(options=[], rows=3, layout={"width": "auto", "max_width": "760px"})
        self.details, self.lines, self.message, self.seen_at = (widgets.HTML(layout=wide) for _ in range(4))
        self.map = ClusterMap()
        self.refresh_button = widgets.Button(description="Refresh", icon="refresh", layout={"width": "110px"})
        self.connect_button = widgets.Button(description="Connect", icon="plug", tooltip="Let %%mpi cells run there")
        self.stop_button = widgets.Button(description="Stop …", icon="stop")
        self.yes_button = widgets.Button(description="Yes, stop it", icon="stop", button_style="danger")
        self.no_button = widgets.Button(description="No")
        self.cancel_button = widgets.Button(description="Cancel", icon="times", button_style="warning")
        self.question = widgets.HTML(layout=wide)
        self.buttons = widgets.HBox([], layout=self._wrap)
        self.form = StartForm(self._profiles(), self._start, self._say)
        self._asking: Row | None = None  # whether to stop it
        self.list.observe(self._on_select, "value")
        for button, react in (
            (self.refresh_button, lambda: self.ticker.beat(now=True)), (self.connect_button, self._connect),
            (self.stop_button, self._ask_to_stop), (self.yes_button, self._stop),
            (self.no_button, self._forget_question), (self.cancel_button, self._cancel),
        ):
            button.on_click(lambda button, react=react: self._react(react))

    def _profiles(self) -> list[str]:
        try:
            return sorted(load_profiles())
        except Exception as error:  # a file of profiles with a mistake: all else works
            self._say(error_sentence(error), True)
            return []

    # -- looking --------------------------------------------------------------------------------

    @property
    def selected(self) -> Row | None:
        """The row that is selected."""
        return next((row for row in self.rows if row.key == self.list.value), None)

    def refresh(self) -> None:
        """Look at all clusters now; waits for the batch system."""
        try:
            rows, error = find_rows(self.mpi.engines), ""
        except Exception as raised:
            rows, error = self.rows, error_sentence(raised)
        self._asked = time.monotonic()
        with self._lock:
            if rows != self.rows:
                self.rows = rows
                self._show()
            self._look_closer()
            now = time.strftime("%H:%M:%S")
            self.seen_at.value = as_html(f"{error} (tried at {now})", "wrong") if error else as_html(f"as of {now}")

    def close(self) -> None:
        """End the threads and leave the page. A start that goes on ends by itself."""
        self.ticker.close()
        super().close()

    def _tick(self, asked: bool) -> None:
        """Often: what the ranks do, which needs no question. Now and then: the batch system."""
        try:
            waiting = any(row.word in ("queued", "starting", "unknown") for row in self.rows)
            if asked or time.monotonic() - self._asked > (WAITING_S if waiting else RUNNING_S):
                self.refresh()
            else:
                with self._lock:
                    self._draw_map()
        except Exception as error:  # the thread must live
            self._say(error_sentence(error), True)

    def _look_closer(self) -> None:
        """The map and the last lines of the selected row."""
        row = self.selected
        self._draw_map()
        try:
            text = last_lines(row, LOG_LINES) if row is not None else ""
        except Exception as error:
            text = error_sentence(error)
        self.lines.value = as_code(text, LOG_HEIGHT_PX)

    def _draw_map(self) -> None:
        row, engines = self.selected, self.mpi.engines
        own = row is not None and row.is_own
        num_cpus = self._cpus.of(engines) if own else {}
        self.map.show(map_nodes(row, activity(engines), num_cpus) if row is not None else ())

    # -- showing --------------------------------------------------------------------------------

    def _show(self) -> None:
        """The list and what belongs to the selected row."""
        with self._lock:
            options = [(row.label, row.key) for row in self.rows]
            keys = [key for _, key in options]
            value = self.list.value if self.list.value in keys else keys[0] if keys else None
            own = next((row.key for row in self.rows if row.is_own), None)
            if own is not None and own != self._own:
                value = own  # what has just been started is what one wants to see
            self._own = own
            if tuple(self.list.options) != tuple(options) or self.list.value != value:
                self._quiet = True
                self.list.options = options
                self.list.value = value
                self._quiet = False
            self.list.rows = max(2, min(6, len(options)))
            self.list.layout.display = "" if options else "none"
            if self._asking is not None and self._asking.key not in keys:
                self._asking = None
            self._show_selected()

    def _show_selected(self) -> None:
        row = self.selected
        self.details.value = as_html(row.sentence if row is not None else NO_CLUSTERS)
        self._show_buttons()

    def _show_buttons(self) -> None:
        row, doing = self.selected, self.actions.doing
        self.connect_button.disabled = row is None or not row.can_connect
        self.stop_button.disabled = row is None
        if doing:
            shown = (self.cancel_button,) if doing in ("start", "connect") else ()
        elif self._asking is not None:
            shown = (self.question, self.yes_button, self.no_button)
        else:
            shown = (self.connect_button, self.stop_button) if row is not None else ()
        if self.buttons.children != shown:
            self.buttons.children = shown
        self.form.enable(not doing)

    def _say(self, text: str, wrong: bool) -> None:
        self.message.value = as_html(text, "wrong" if wrong else "")

    # -- what somebody does ---------------------------------------------------------------------

    def _react(self, function) -> None:
        try:
            function()
        except Exception as error:
            self._say(error_sentence(error), True)
        self.ticker.beat()  # afterwards: what is selected is what was seen when the button was pressed

    def _on_select(self, change) -> None:
        with self._lock:
            if self._quiet:  # nobody has selected anything: the list has changed
                return
            self._asking, self.lines.value = None, ""
            self._show_selected()
            self._draw_map()
        self.ticker.beat(now=True)

    def _on_actions(self) -> None:
        with self._lock:
            self._asking = None
            if self.actions.doing in ("start", "connect"):
                self._own = None
            self._show_buttons()
        self.ticker.beat(now=True)

    def _start(self, options: ClusterOptions) -> None:
        self.cancel_button.disabled = False
        self.actions.start(options)

    def _connect(self) -> None:
        if (row := self.selected) is not None:
            self.cancel_button.disabled = False
            self.actions.connect(row.key)

    def _ask_to_stop(self) -> None:
        row = self._asking = self.selected
        if row is None:
            return
        what = f"cluster {row.key}" if row.key else f"the ranks on {row.where}"
        parts = [f"Stop {what}? The variables of its ranks are lost."]
        if row.status is not None and row.status.record.job_id:
            parts.append(f"Job {row.status.record.job_id} is cancelled.")
        if row.status is not None and not row.is_own and (row.status.record.is_in_use() or not row.status.record.kept):
            parts.append("Another notebook works with it.")
        self.question.value = as_html(" ".join(parts))
        self._show_buttons()

    def _stop(self) -> None:
        row, self._asking = self._asking, None
        if row is not None:
            self.actions.stop(row.key)

    def _forget_question(self) -> None:
        self._asking = None
        self._show_buttons()

    def _cancel(self) -> None:
        self.cancel_button.disabled = True
        self._say("Cancelling …", False)
        self.actions.cancel()

    # -- as text --------------------------------------------------------------------------------

    def text(self) -> str:
        """The list as lines of text, for where there is no page."""
        return "\n".join(row.sentence for row in self.rows) or NO_CLUSTERS

    def __repr__(self) -> str:
        return self.text()

    def _repr_mimebundle_(self, **kwargs):
        self.ticker.beat(now=True)  # shown: while the next cells run, no word of the page is heard
        found = super()._repr_mimebundle_(**kwargs)
        found["text/plain"] = self.text()
        return found
