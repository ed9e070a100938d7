"""Tensor parallelism by hand: sliders for ranks and sizes; matrices, who holds what, and the bytes; counted if asked."""

from __future__ import annotations

import json
from pathlib import Path

import ipywidgets as widgets

from labkit.hardware.messages import run_mpi
from labkit.training.tensor_parallel.traffic import SCHEMES, block_flops, block_messages
from labkit.views.tensor_parallel import MOST_RANKS, tensor_parallel_figure
from labkit.views.tensor_parallel_traffic import block_traffic_figure
from labkit.views.theme import bytes_text
from labkit.widgets.experiment import Experiment
from labkit.widgets.figure_widget import FigureWidget
from labkit.widgets.replace import replace_figure

STYLE = {"description_width": "70px"}
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 12288)
LENGTHS = (16, 64, 128, 256, 512, 1024, 2048, 4096)
BATCHES = (1, 2, 4, 8, 16, 32)
SIMULATED, REAL = "simulated ranks", "real ranks"
MOST_REAL_RANKS = 4
COUNTED_WIDTH_A_RANK, COUNTED_LENGTH, COUNTED_BATCH = 16, 9, 2  # of the block that is run: small, and uneven rows
DEADLINE_S = 180


class TensorParallelExplorer(widgets.VBox):
    """The two products of a block on 1 to 8 ranks, the bytes of a block, and the calls of a block that was really run.

    Parameters
    ----------
    num_ranks, width, length, batch : int
        To start with.

    Attributes
    ----------
    num_ranks, width, length, batch, scheme : ipywidgets
        The choices.
    sentence : ipywidgets.HTML
        The bytes and operations of a block in words.
    matrices, traffic : FigureWidget
    kind : ipywidgets.ToggleButtons
        Which ranks count.
    counted : Experiment
    """

    def __init__(self, num_ranks: int = 2, width: int = 4096, length: int = 2048, batch: int = 1):
        self.num_ranks = widgets.IntSlider(
            value=num_ranks, min=1, max=MOST_RANKS, description="ranks", style=STYLE, layout={"width": "320px"}
        )
        self.width, self.length, self.batch = (
            widgets.SelectionSlider(
                options=options, value=value, description=name, style=STYLE, layout={"width": "320px"}
            )
            for options, value, name in ((WIDTHS, width, "width"), (LENGTHS, length, "length"), (BATCHES, batch, "batch"))
        )
        self.scheme = widgets.ToggleButtons(options=SCHEMES, description="scheme", style={**STYLE, "button_width": "170px"})
        self.sentence = widgets.HTML("")
        matrices, traffic = self._figures()
        self.matrices, self.traffic = FigureWidget(matrices), FigureWidget(traffic)
        for control in (self.num_ranks, self.width, self.length, self.batch, self.scheme):
            control.observe(self._on_change, "value")
        self.kind = widgets.ToggleButtons(options=(SIMULATED, REAL), style={"button_width": "150px"})
        self.counted = Experiment(
            (self.kind,), self._count, lambda value: (), words=self._words, label="Run and count",
            locked=(self.num_ranks, self.scheme),
        )
        self.counted.button.layout.flex = "0 0 180px"  # a long status leaves the button its words
        self.counted.status.layout = {"flex": "1 1 auto", "min_width": "0"}
        left, right = widgets.VBox([self.num_ranks, self.width]), widgets.VBox([self.length, self.batch])
        super().__init__([
            widgets.HBox([left, right], layout={"flex_flow": "row wrap"}), self.scheme, self.matrices, self.sentence,
            self.traffic, self.counted,
        ])

    def _sizes(self) -> tuple[int, int, int, int]:
        return self.num_ranks.value, self.width.value, self.length.value, self.batch.value

    def _figures(self):
        num_ranks, width, length, batch = self._sizes()
        messages = block_messages(num_ranks, width, length, batch, self.scheme.value)
        sent = sum(message.sent_bytes for message in messages)
        work = block_flops(width, length, batch) / num_ranks
        if messages:
            self.sentence.value = (
                f"A block of width {width}, forward and backward: <b>{len(messages)} calls</b>, each of a tensor of "
                f"{bytes_text(messages[0].num_bytes)}; every rank sends {bytes_text(sent)} and computes "
                f"{_operations(work)}: {work / sent:,.0f} operations for a byte."
            )
        else:
            self.sentence.value = f"One rank computes {_operations(work)} for a block and sends nothing."
        return (
            tensor_parallel_figure(num_ranks, width, batch * length, scheme=self.scheme.value),
            block_traffic_figure(num_ranks, width, length, batch),
        )

    def _on_change(self, change) -> None:
        matrices, traffic = self._figures()
        replace_figure(self.matrices, matrices)
        replace_figure(self.traffic, traffic)

    def _count(self, progress):
        """(Number of ranks, scheme, the calls of all ranks) of a small block."""
        num_ranks, scheme = self.num_ranks.value, self.scheme.value
        sizes = COUNTED_WIDTH_A_RANK * num_ranks, COUNTED_LENGTH, COUNTED_BATCH
        progress(f"Runs on {num_ranks} {self.kind.value} ...")
        if self.kind.value == SIMULATED:
            from labkit.comm.simulated.run import simulate
            from labkit.training.tensor_parallel.counted_block import counted_block

            return num_ranks, scheme, simulate(num_ranks, lambda comm: counted_block(comm, *sizes, scheme)).results
        if num_ranks > MOST_REAL_RANKS:
            raise ValueError(
                f"{num_ranks} processes would take long on this machine: choose {MOST_REAL_RANKS} ranks or fewer."
            )
        from labkit.training.tensor_parallel import traffic

        program = Path(traffic.__file__).with_name("counted_block.py")
        arguments = [str(program), *map(str, sizes), str(SCHEMES.index(scheme))]
        return num_ranks, scheme, json.loads(run_mpi(arguments, num_ranks, DEADLINE_S).splitlines()[-1])

    def _words(self, value) -> str:
        num_ranks, scheme, calls = value
        width = COUNTED_WIDTH_A_RANK * num_ranks
        wanted = block_messages(num_ranks, width, COUNTED_LENGTH, COUNTED_BATCH, scheme)
        found = [[(c["part"], c["is_backward"], c["kind"], c["num_bytes"]) for c in rank] for rank in calls]
        is_right = all(rank == [(m.part, m.is_backward, m.kind, m.num_bytes) for m in wanted] for rank in found)
        ways = []
        for is_backward in (False, True):
            kinds = [kind for _, backward, kind, _ in found[0] if backward == is_backward]
            counts = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)] or ["nothing"]
            ways.append(f"{'backward' if is_backward else 'forward'} {' and '.join(counts)}")
        sent = sum(call["sent_bytes"] for call in calls[0])
        verdict = "as the arithmetic says" if is_right else "which is NOT what the arithmetic says"
        return (
            f"Counted on {num_ranks} rank{'s' * (num_ranks > 1)}, a block of width {width}: {', '.join(ways)}; {sent} "
            f"bytes sent by rank 0, {verdict}."
        )


def _operations(number: float) -> str:
    for size, name in ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:.0f} FLOP"
