"""The part of the panel that starts a cluster: what it should be, a look at the job script, Submit."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from labkit.cluster import manage
from labkit.cluster.option_words import parse_start
from labkit.cluster.options import BATCH_KINDS, ClusterOptions
from labkit.cluster.schedulers import find_scheduler
from labkit.errors import UsageError
from labkit.widgets.cluster_rows import as_code, as_html, error_sentence

SCRIPT_HEIGHT_PX = 260
KINDS = ("slurm", "pbs", "lsf", "sge", "ssh", "local")


class StartForm(widgets.VBox):
    """What to start; a job script is shown before it is submitted.

    Parameters
    ----------
    profiles : sequence of str
        Names of profiles, offered first.
    start : callable
        Called with the options that were chosen.
    say : callable
        Told a sentence, and True for an error.

    Attributes
    ----------
    where, num_ranks, num_nodes, time, keep, more
        The controls.
    script : ipywidgets.HTML
        The job script, or "".
    start_button, submit_button, back_button : ipywidgets.Button
    """

    def __init__(
        self, profiles: Sequence[str], start: Callable[[ClusterOptions], None], say: Callable[[str, bool], None]
    ):
        self.start, self.say = start, say
        self.options: ClusterOptions | None = None  # whose script is shown
        style, room = {"description_width": "52px"}, {"width": "150px"}
        self.where = widgets.Dropdown(
            options=[*((f"{name} (profile)", name) for name in profiles), *((kind, kind) for kind in KINDS)],
            value=_first_choice(profiles), description="Where", style=style, layout={"width": "260px"},
        )
        self.num_ranks = widgets.Text(placeholder="4", description="Ranks", style=style, layout=room)
        self.num_nodes = widgets.Text(placeholder="any", description="Nodes", style=style, layout=room)
        self.time = widgets.Text(
            placeholder="minutes, H:M:S", description="Time", style=style, layout={"width": "200px"},
        )
        self.keep = widgets.Checkbox(
            description="Keep it when the notebook ends", indent=False, layout={"width": "250px"}, value=False,
        )
        self.more = widgets.Text(
            placeholder="other options, as: --partition gpu --gpus 2 --account physics", description="More",
            style=style, layout={"flex": "1 1 300px", "min_width": "260px"},
        )
        self.start_button = widgets.Button(description="Start …", icon="play", button_style="primary")
        self.submit_button = widgets.Button(description="Submit this job", icon="check", button_style="primary")
        self.back_button = widgets.Button(description="Back")
        self.note, self.script = widgets.HTML(), widgets.HTML()
        self._row = {"flex_flow": "row wrap", "align_items": "center"}
        self._controls = (self.where, self.num_ranks, self.num_nodes, self.time, self.keep, self.more)
        self._confirm = widgets.HBox([self.submit_button, self.back_button], layout=self._row)
        self.start_button.on_click(lambda button: self.look())
        self.submit_button.on_click(lambda button: self.submit())
        self.back_button.on_click(lambda button: self.back())
        for control in self._controls:
            control.observe(lambda change: self.back(), "value")  # the script shown would be another's
        self._form = widgets.HBox([*self._controls[:4]], layout=self._row)
        self._rest = widgets.HBox([self.keep, self.more], layout=self._row)
        super().__init__([self._form, self._rest, self.start_button])

    def words(self) -> list[str]:
        """What ``%cluster start`` would be told."""
        words = [self.where.value]
        for option, control in (("-n", self.num_ranks), ("--nodes", self.num_nodes), ("--time", self.time)):
            if control.value.strip():
                words += [option, control.value.strip()]
        try:
            words += shlex.split(self.more.value)
        except ValueError as error:
            raise UsageError(f"More: {error} in: {self.more.value}") from None
        return words + ["--keep"] * self.keep.value

    def look(self) -> None:
        """Check what was chosen, and show the job script; what needs no job starts at once."""
        self.back()
        try:
            request = parse_start(self.words(), prog="Start")
            options = request.options
            script = manage.dry_run(options) if options.kind in BATCH_KINDS else ""
        except Exception as error:  # said in the panel, whatever it is
            self.say(error_sentence(error), True)
            return
        if not script:
            if request.dry_run:
                self.say(f"A cluster of kind {options.kind} has no job script to look at.", True)
                return
            self._go(options)
            return
        self.options = options
        self.say("", False)
        self.note.value = as_html(f"This job script will be submitted to {find_scheduler(options.kind).title}:")
        self.script.value = as_code(script, SCRIPT_HEIGHT_PX)
        self.children = [self._form, self._rest, self.note, self.script, self._confirm]

    def submit(self) -> None:
        """Start what is shown."""
        options = self.options
        if options is not None:  # a second click of two
            self.back()
            self._go(options)

    def _go(self, options: ClusterOptions) -> None:
        try:
            self.start(options)
        except Exception as error:
            self.say(error_sentence(error), True)

    def back(self) -> None:
        """Show no script."""
        self.options = None
        self.script.value = self.note.value = ""
        self.children = [self._form, self._rest, self.start_button]

    def enable(self, on: bool) -> None:
        """Let buttons be pressed, or not."""
        self.start_button.disabled = self.submit_button.disabled = not on


def _first_choice(profiles: Sequence[str]) -> str:
    """A profile, or the batch system whose commands are here, or this machine."""
    if profiles:
        return profiles[0]
    return next((kind for kind in BATCH_KINDS if shutil.which(find_scheduler(kind).submit_command[0])), "local")
