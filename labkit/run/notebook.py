"""One execution of a notebook: its kernel, its cells one after another, and what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import signal
import sys
import tempfile
import time

from labkit.errors import LabkitError, UsageError
from labkit.grading.sheet import write_whole
from labkit.run.progress import say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # exit status 128 + number
REDRAW_S = 1.0
GRACE_S = 10.0  # for an interrupted cell to end; its MPI ranks get 6 s of it
END_TIMEOUT_S = 20.0  # for the kernel to end, with its engines; a batch system gives about 30 s to both
NUM_SOURCE_LINES = 5
NUM_ERROR_LINES = 12
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class NotebookRun:
    """One execution of a notebook: its kernel, its cells one after another, and what came of them.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Is changed: its cells get their outputs.
    environment : dict of str
        Of the kernel.
    folder : Path
        Where the kernel runs.
    out : Path
        Where the notebook is written once no more cells will run.
    timeout_s : float or None
        A cell that runs longer is interrupted, and has failed.
    keep_going : bool
        Whether cells after a failed one are executed.
    """

    def __init__(self, notebook, *, environment, folder, out, timeout_s, keep_going, progress):
        from labkit.run.client import Client, Manager

        self.notebook, self.out, self.timeout_s, self.keep_going = notebook, out, timeout_s, keep_going
        self.progress = progress
        self.cells = [(index, cell) for index, cell in enumerate(notebook.cells) if is_executed(cell)]
        self.num_done = self.num_failed = self.stopped_by = 0
        self.where = ""  # the last cell that was started
        self.error: dict | None = None  # of the cell that has just ended
        self.manager = Manager()
        self.log = tempfile.TemporaryFile()  # what the kernel prints past Jupyter, told when it dies
        self.start_options = {"env": environment, "cwd": str(folder), "stdout": self.log, "stderr": self.log}
        self.client = Client(notebook, self.manager, allow_errors=keep_going, on_cell_error=self._on_cell_error)

    async def execute(self) -> None:
        """Execute the cells and write the notebook; at the end no kernel is left.

        Raises
        ------
        UsageError
            The kernel did not start; nothing is written.
        LabkitError
            The notebook could not be written.
        """
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores one
        for number in heard:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            if not await self._start_kernel():
                return
            try:
                for number, (index, cell) in enumerate(self.cells, 1):
                    if self.stop.is_set() or not await self._run_cell(cell, index, number):
                        break
            finally:
                self.progress.clear()
                self.client.set_widgets_metadata()
                for _, cell in self.cells:  # only now: nbclient counts outputs to find those that are updated
                    cell.outputs = merge_streams(cell.outputs)
                self._write()  # before the kernel ends: a batch system may not wait for that
        finally:
            await self._end_kernel()
            self.log.close()
            for number in heard:
                loop.remove_signal_handler(number)

    # -- cells ----------------------------------------------------------------------------------

    async def _run_cell(self, cell, index: int, number: int) -> bool:
        """Run one cell; return whether the next one may run."""
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        self.where = where = f"cell {number} of {len(self.cells)}"
        self.progress.start(where, cell.source)
        self.error = None
        allowed = "raises-exception" in cell.metadata.get("tags", [])
        task = asyncio.ensure_future(self.client.async_execute_cell(cell, index, execution_count=number))
        in_time = await self._until_done(task, self.timeout_s)
        if not in_time:
            await self._interrupt(task)
        try:
            if not task.done():
                task.cancel()
            await task
        except CellExecutionError:
            pass  # self.error has it
        except CellTimeoutError:  # not ours: we limit the cell, and nbclient its outputs
            self.error = {}
            self._add_error(cell, "CellTimeoutError", "the cell ended, but not all it printed has arrived.")
        except (DeadKernelError, asyncio.CancelledError):
            self._add_error(cell, "DeadKernelError", self._how_the_kernel_ended(in_time))
            if not self.stop.is_set():
                self._failed(f"{where} failed, and the kernel is gone with all variables", cell)
            return False
        if self.stop.is_set():
            return False
        self.num_done += 1
        if not in_time:
            self._failed(f"{where} was interrupted: it ran longer than --timeout {self.timeout_s:g} s", cell)
        elif self.error is not None and not allowed:
            self._failed(f"{where} failed", cell)
        else:
            return True
        return self.keep_going

    async def _until_done(self, task, limit_s: float | None = None) -> bool:
        """Wait for a task; False if its time is up or a signal came first."""
        deadline = time.monotonic() + limit_s if limit_s else float("inf")
        stop = asyncio.ensure_future(self.stop.wait())
        try:
            while not task.done() and not stop.done() and time.monotonic() < deadline:
                left_s = min(REDRAW_S, max(deadline - time.monotonic(), 0.0))
                await asyncio.wait({task, stop}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                if self.progress.terminal:
                    self.progress.redraw()
            return task.done() and not stop.done()
        finally:
            stop.cancel()

    async def _interrupt(self, task) -> None:
        """The Stop button; a kernel that does not react is ended."""
        hurry = asyncio.ensure_future(self.hurry.wait())
        with contextlib.suppress(RuntimeError):  # it may have died by itself
            await self.manager.interrupt_kernel()
        await asyncio.wait({task, hurry}, timeout=GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not task.done():
            await self.manager.shutdown_kernel(now=True)

    def _on_cell_error(self, *, execute_reply, **_) -> None:
        self.error = execute_reply["content"]

    def _on_signal(self, number: int) -> None:
        """The first signal stops the run, a second one does not wait for the cell."""
        if self.stop.is_set():
            self.hurry.set()
        self.stopped_by = self.stopped_by or number
        self.stop.set()

    def _failed(self, what: str, cell) -> None:
        """Count and tell a failure: the first lines of the cell, the last of its error."""
        self.num_failed += 1
        source = cell.source.strip().splitlines()
        if len(source) > NUM_SOURCE_LINES:
            source[NUM_SOURCE_LINES:] = ["..."]
        errors = [output for output in cell.outputs if output.output_type == "error"]
        lines = ANSI.sub("", "\n".join(errors[-1].traceback)).splitlines()[-NUM_ERROR_LINES:] if errors else []
        self.progress.clear()
        say("\n".join([f"labkit run: {what}:", *(f"    {line}" for line in source), *lines]))

    def _add_error(self, cell, name: str, text: str) -> None:
        """An error of ours among the outputs of a cell."""
        import nbformat

        cell.outputs.append(
            nbformat.v4.new_output("error", ename=name, evalue=text, traceback=f"{name}: {text}".splitlines())
        )

    def _how_the_kernel_ended(self, in_time: bool) -> str:
        if not in_time:
            reason = "its time was up" if not self.stop.is_set() else "labkit run was stopped"
            return f"the cell was interrupted because {reason}; it did not end, and the kernel was ended."
        return "\n".join(["the process of the kernel ended while the cell ran.", *self._last_words()])

    # -- kernel and file ------------------------------------------------------------------------

    async def _start_kernel(self) -> bool:
        """Start it; False if a signal came first."""
        task = asyncio.ensure_future(self._start())
        if not await self._until_done(task):
            task.cancel()
            await asyncio.wait({task})
            return False
        if error := task.exception():
            advice = f"Try: {sys.executable} -m ipykernel --version"
            raise UsageError("\n".join([f"the kernel did not start: {error}", *self._last_words(), advice])) from None
        return True

    async def _start(self) -> None:
        await self.client.async_start_new_kernel(**self.start_options)
        await self.client.async_start_new_kernel_client()

    def _last_words(self) -> list[str]:
        """What the kernel printed past Jupyter, as a fatal error of Python or C does."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace").strip().splitlines()[-NUM_ERROR_LINES + 1 :]

    async def _end_kernel(self) -> None:
        """End the kernel, and with it the engines: they are its own."""
        self.manager.shutdown_wait_time = END_TIMEOUT_S
        client, self.client.kc = self.client.kc, None
        if self.manager.has_kernel and await self.manager.is_alive():
            if self.hurry.is_set():
                await self.manager.shutdown_kernel(now=True)
            else:  # no shutdown_kernel: its interrupt can hit the kernel between two cells, which then does not end
                await self.manager.request_shutdown()
                await self.manager.finish_shutdown()
        await self.manager.cleanup_resources()
        if client is not None:
            client.stop_channels()

    def _write(self) -> None:
        import nbformat

        try:
            write_whole(self.out, nbformat.writes(self.notebook) + "\n")
        except OSError as error:
            raise LabkitError(f"{self.out} could not be written: {error}. What was executed is lost.") from None


def merge_streams(outputs: list) -> list:
    """Outputs with neighbouring pieces of text of the same stream joined, as JupyterLab shows them."""
    merged = []
    for (kind, name), group in itertools.groupby(outputs, lambda output: (output.output_type, output.get("name"))):
        group = list(group)
        if kind == "stream":
            group[0].text, group[1:] = "".join(output.text for output in group), []
        merged += group
    return merged


def is_executed(cell) -> bool:
    return (
        cell.cell_type == "code" and bool(cell.source.strip()) and "skip-execution" not in cell.metadata.get("tags", [])
    )
