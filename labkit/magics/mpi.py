"""``%%mpi``: run a cell on real or simulated MPI ranks; ``%mpi_push``, ``%mpi_pull``, ``%mpi_stop``."""

from __future__ import annotations

import ast
import warnings
from contextlib import nullcontext

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import publish_display_data

from labkit.cluster.cell import run_cell
from labkit.cluster.engines import Engines, LocalEngines
from labkit.cluster.outcome import CellOutcome, Listener
from labkit.cluster.simulated_cell import SimulatedRanks, check_num_simulated, run_simulated_cell
from labkit.cluster.transfer import push
from labkit.errors import CellError, EnginesError, RankDiedError, UsageError
from labkit.magics.live import live_view
from labkit.magics.options import OptionParser, check_names, parse_ranks, positive_seconds
from labkit.magics.output import RankOutput
from labkit.magics.variables import check_picklable, pull
from labkit.views.theme import time_text
from labkit.widgets.progress import Progress

DEFAULT_NUM_RANKS = 4
TIMELINE_NAME = "_timeline"  # where the notebook finds the last trace
SIMULATION_NAME = "_simulation"  # and the counts and virtual time of the last simulation

_cell_options = OptionParser("%%mpi", "Run the cell on MPI ranks.")
_cell_options.add_argument("-n", type=int, default=None, metavar="RANKS")
_cell_options.add_argument("--ranks", default=None, metavar="0,2")
_cell_options.add_argument("--timeout", type=positive_seconds, default=None, metavar="SECONDS")
_cell_options.add_argument("--trace", action="store_true")
_cell_options.add_argument("--live", action="store_true")
_cell_options.add_argument("--check-unsafe-sends", action="store_true")
_cell_options.add_argument("--sim", type=int, default=None, metavar="RANKS")
_cell_options.add_argument("--network", default=None, metavar="NAME")
_cell_options.add_argument("--seed", type=int, default=None, metavar="NUMBER")

_push_options = OptionParser("%mpi_push", "Copy variables of the notebook to the ranks.")
_push_options.add_argument("names", nargs="*", metavar="NAME")
_push_options.add_argument("--ranks", default=None, metavar="0,2")

_pull_options = OptionParser("%mpi_pull", "Copy variables of the ranks to the notebook.")
_pull_options.add_argument("names", nargs="*", metavar="NAME")
_pull_options.add_argument("--ranks", default=None, metavar="0,2")


@magics_class
class MPIMagics(Magics):
    """The MPI magics of one notebook, and the engines that they share."""

    def __init__(self, shell):
        super().__init__(shell)
        self.engines: Engines = LocalEngines()
        self.num_ranks = DEFAULT_NUM_RANKS
        self.first_cluster = ""  # words of a cluster to start with the first cell
        self.start_first_cluster = None
        self.simulated = SimulatedRanks()

    @cell_magic
    def mpi(self, line: str, cell: str | None) -> None:
        """Run the cell on MPI ranks.

        ::

            %%mpi [-n RANKS] [--ranks 0,2] [--timeout SECONDS] [--trace [--live]] [--check-unsafe-sends]

        ``comm`` is a fresh communicator of all ranks; ``MPI`` and ``np`` are ready. Variables stay
        on the ranks from cell to cell. ``--trace`` draws who communicated when and keeps the
        timeline as ``_timeline``; with ``--live`` it also grows while the cell runs.
        ``--check-unsafe-sends`` makes every Send wait for its receive.

        ::

            %%mpi --sim RANKS [--network NAME] [--seed NUMBER] [--timeout SECONDS] [--trace] [--check-unsafe-sends]

        The same cell on simulated ranks, in virtual time, with exact counts; they are kept as
        ``_simulation``. ``--network`` is a preset or values (see
        :func:`labkit.comm.network.presets.find_network`), or ``local`` for a fit of this machine.
        """
        options = _cell_options.parse_line(line)
        if options.sim is not None:
            self._simulate(options, cell)
            return
        if options.live and not options.trace:
            raise UsageError("%%mpi: --live draws the timeline of --trace while the cell runs: write --trace --live.")
        if options.network is not None or options.seed is not None:
            raise UsageError("%%mpi: --network and --seed describe simulated ranks; add --sim RANKS, or leave them out.")
        self._start_first_cluster()
        if options.n is not None:
            self.engines.check_num_ranks(options.n)
        num_ranks = options.n or self.engines.num_ranks or self.num_ranks
        ranks = parse_ranks(options.ranks, num_ranks) if options.ranks is not None else None
        self._check_text(cell)
        self._ensure_engines(num_ranks)
        output = RankOutput(num_ranks)
        live = live_view(self.shell, num_ranks) if options.live else None
        listener = Listener(
            text=output.text, display=output.display, idle=output.flush_now_and_then,
            part=live.growing.add if live else None,
        )
        try:
            with live or nullcontext():
                outcome = run_cell(
                    self.engines,
                    cell,
                    ranks=ranks,
                    timeout_s=options.timeout,
                    trace=options.trace,
                    check_unsafe_sends=options.check_unsafe_sends,
                    listener=listener,
                )
        except CellError as error:
            if live:
                live.end(error.outcome.timeline)
            self._show(output, error.outcome)
            self._show_graph(error)
            raise
        if live:
            live.end(outcome.timeline)
        self._show(output, outcome)
        self._warn_of_left_over(output, outcome)

    def _simulate(self, options, cell: str | None) -> None:
        """Run the cell on simulated ranks."""
        if options.n is not None or options.ranks is not None:
            raise UsageError("%%mpi: -n and --ranks are for real ranks; --sim RANKS alone says how many are simulated.")
        if options.live:
            raise UsageError(
                "%%mpi: --live follows real ranks; simulated ones have no time to look at while they run. Leave it "
                "out; LiveTimeline(_timeline) of labkit.widgets.live_timeline plays the run afterwards."
            )
        check_num_simulated(options.sim)
        network = _network(options.network)
        self._check_text(cell)
        if self.simulated.num_ranks not in (0, options.sim):
            print(
                f"{options.sim} instead of {self.simulated.num_ranks} simulated ranks: their variables are lost."
            )
        self.simulated.start(options.sim)
        output = RankOutput(options.sim)
        try:
            outcome = run_simulated_cell(
                self.simulated, self.shell, cell, network=network, seed=options.seed, timeout_s=options.timeout,
                trace=options.trace, check_unsafe_sends=options.check_unsafe_sends,
                listener=Listener(text=output.text), progress=Progress(),
            )
        except CellError as error:
            self._show(output, error.outcome)
            self._show_graph(error)
            raise
        self._show(output, outcome)
        self._warn_of_left_over(output, outcome)
        self.shell.user_ns[SIMULATION_NAME] = outcome
        ranks = "1 simulated rank" if options.sim == 1 else f"{options.sim:,} simulated ranks"
        print(f"{ranks} on {outcome.network}: {time_text(outcome.time_s * 1e9)} of virtual time; {outcome.counts}.")

    @line_magic
    def mpi_push(self, line: str) -> None:
        """``%mpi_push NAME ... [--ranks 0,2]``: copy variables of the notebook to the ranks."""
        options = _push_options.parse_line(line)
        names = check_names(options.names, "%mpi_push")
        missing = [name for name in names if name not in self.shell.user_ns]
        if missing:
            raise UsageError(f"%mpi_push: the notebook has no variable {missing[0]!r}.")
        ranks = self._chosen(options.ranks)
        values = [self.shell.user_ns[name] for name in names]
        for name, value in zip(names, values, strict=True):
            check_picklable(name, value)
        push(self.engines, names, values, ranks)

    @line_magic
    def mpi_pull(self, line: str) -> None:
        """``%mpi_pull NAME ... [--ranks 0,2]``: copy variables of the ranks to the notebook.

        Each becomes a list with one value a rank; of a single rank (``--ranks 0``), the value itself.
        """
        options = _pull_options.parse_line(line)
        names = check_names(options.names, "%mpi_pull")
        if not self.engines.ranks:
            raise UsageError("%mpi_pull: no ranks are running; a %%mpi cell starts them.")
        ranks = self._chosen(options.ranks)
        results = [self.engines.submit(rank, pull, names) for rank in ranks]
        values = [result.get() for result in results]
        for rank, value in zip(ranks, values, strict=True):
            if isinstance(value, str):
                raise UsageError(f"%mpi_pull: rank {rank.rank} {value}")
        for position, name in enumerate(names):
            by_rank = [value[position] for value in values]
            self.shell.user_ns[name] = by_rank[0] if len(by_rank) == 1 else by_rank

    @line_magic
    def mpi_stop(self, line: str) -> None:
        """``%mpi_stop``: end the ranks and free their memory; the next cell starts new ones."""
        if line.strip():
            raise UsageError("%mpi_stop takes no options.")
        self.engines.stop()

    # -- where the ranks are --------------------------------------------------------------------

    def use(self, engines: Engines) -> None:
        """Run the next cells on other engines."""
        self.engines = engines
        self.num_ranks = engines.num_ranks or getattr(engines, "num_ranks_asked", DEFAULT_NUM_RANKS)

    def leave(self) -> None:
        """Let go of the present engines: those of a cluster that is kept run on, all others end."""
        engines, self.engines = self.engines, LocalEngines()
        if getattr(engines, "kept", False):
            engines.leave()
        else:
            engines.stop()

    def _start_first_cluster(self) -> None:
        words, self.first_cluster = self.first_cluster, ""
        if words:
            self.start_first_cluster(words)

    # -- parts ----------------------------------------------------------------------------------

    def _check_text(self, cell: str | None) -> None:
        if not (cell or "").strip():
            raise UsageError(
                "This %%mpi cell is empty: write below the %%mpi line what the ranks should run."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the ranks show them
                ast.parse("\n" + self.shell.transform_cell(cell))
        except SyntaxError as error:
            text = (error.text or "").strip()
            raise UsageError(
                f"line {error.lineno} of the cell is not Python ({error.msg})"
                + (f": {text}" if text else ".")
            ) from None

    def _ensure_engines(self, num_ranks: int) -> None:
        if self.engines.ranks and self.engines.lost():
            print("The ranks were lost, and with them their variables.")
            self.engines.end_ranks()
        if self.engines.num_ranks not in (0, num_ranks):
            print(
                f"Restarting with {num_ranks} instead of {self.engines.num_ranks} ranks: the variables "
                f"of the ranks are lost."
            )
            self.engines.end_ranks()
        if not self.engines.ranks:
            self.engines.start(num_ranks, Progress())
        self.num_ranks = num_ranks

    def _chosen(self, text: str | None):
        self._start_first_cluster()
        if not self.engines.ranks:
            self._ensure_engines(self.num_ranks)
        if self.engines.lost():
            self.engines.end_ranks()
            raise EnginesError("The ranks were lost; the next %%mpi cell starts new ones.")
        if text is None:
            return self.engines.ranks
        return [self.engines.ranks[r] for r in parse_ranks(text, self.engines.num_ranks)]

    def _warn_of_left_over(self, output: RankOutput, outcome: CellOutcome) -> None:
        for rank, requests in outcome.left_over.items():
            output.text(
                rank, "stderr",
                f"never completed: {'; '.join(requests)}. Wait for every request you start.\n",
            )
        output.flush(all_of_it=True)

    def _show(self, output: RankOutput, outcome: CellOutcome) -> None:
        """The rest of the text, the values of the last expressions, the timeline."""
        output.flush(all_of_it=True)
        output.results(outcome.results)
        if outcome.timeline is not None:
            from labkit.widgets.timeline import show_timeline

            self.shell.user_ns[TIMELINE_NAME] = outcome.timeline
            show_timeline(outcome.timeline)

    def _show_graph(self, error: CellError) -> None:
        if error.graph is not None and error.graph.edges and not isinstance(error, RankDiedError):
            from labkit.views.display import figure_bundle
            from labkit.views.wait_graph import wait_graph_figure

            publish_display_data(figure_bundle(wait_graph_figure(error.graph)))


def _network(text: str | None):
    """The network that ``--network`` names."""
    if text is None:
        return None
    if text == "local" or text.startswith("local,"):
        from labkit.mpi.fit import local_network

        return local_network(text.partition(",")[2], progress=Progress())
    from labkit.comm.network.presets import find_network

    return find_network(text)
