"""``labkit run``: execute a notebook without a browser, its MPI cells also on a cluster."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import sys
import tempfile
import warnings
from pathlib import Path

from labkit.cluster.option_words import parse_start
from labkit.errors import UsageError
from labkit.run.notebook import NotebookRun
from labkit.run.progress import CellProgress, say

CLUSTER_ENVIRONMENT = "LABKIT_CLUSTER"  # where the magics of the kernel find the words of --cluster
OWN_OPTIONS = ("--out", "--timeout", "--keep-going", "--cluster", "--help", "-h", "--")


def main(argv: list[str] | None = None) -> int:
    """Execute a notebook from top to bottom, without a browser.

    The executed notebook goes to --out, or to NAME_executed.ipynb beside NAME.ipynb, also when it was
    executed in part; the notebook itself is not changed unless --out names it. The kernel is this Python,
    in the folder of the notebook. Cells tagged raises-exception may fail, those tagged skip-execution are
    left out. Exit status: 0 every cell ran, 1 a cell failed, 2 bad usage, 130 Ctrl-C, 143 SIGTERM.

    --cluster takes the words of %cluster start, up to the next option of this command or the next word
    that ends in .ipynb, or in quotes: --cluster slurm -n 8 --nodes 2, or --cluster "slurm -n 8 --nodes 2".
    """
    options = _parse(sys.argv[1:] if argv is None else argv)
    notebook = _read(options.notebook)
    _check_out(options.out)
    environment = dict(os.environ)
    environment["PATH"] = str(Path(sys.executable).parent) + os.pathsep + environment.get("PATH", os.defpath)
    if options.cluster:
        environment[CLUSTER_ENVIRONMENT] = options.cluster
    run = NotebookRun(
        notebook, environment=environment, folder=options.notebook.absolute().parent, out=options.out,
        timeout_s=options.timeout, keep_going=options.keep_going, progress=CellProgress(),
    )
    asyncio.run(run.execute())
    clock, num_cells = run.progress.clock(), f"{len(run.cells)} cell{'s' * (len(run.cells) != 1)}"
    if run.stopped_by:
        done = f"in {run.where}; wrote {options.out}" if run.where else "before the first cell; nothing is written"
        say(f"labkit run: stopped by {signal.Signals(run.stopped_by).name} after {clock}, {done}")
        return 128 + run.stopped_by
    failed = f", {run.num_failed} failed" if run.num_failed else ""
    print(f"{run.num_done} of {num_cells} ran in {clock}{failed}; wrote {options.out}")
    return 1 if run.num_failed else 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="labkit run", description=main.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --keep is a word of --cluster
    )
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK.ipynb")
    parser.add_argument("--out", type=Path, metavar="FILE.ipynb", help="default: NOTEBOOK_executed.ipynb")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="a cell; default: no limit")
    parser.add_argument("--keep-going", action="store_true", help="go on after a cell that failed")
    parser.add_argument("-n", type=int, metavar="RANKS", help="how many MPI ranks; without --cluster on this machine")
    parser.add_argument("--cluster", metavar="KIND ...", help="slurm -n 8 --nodes 2, as for %%cluster start")
    own, words = split_cluster(argv)
    options = parser.parse_args(own)
    if options.n is not None and options.n < 1:
        raise UsageError(f"-n {options.n}: at least 1 rank.")
    if options.n is not None:
        if "-n" in words:
            raise UsageError(f"-n {options.n} and --cluster {shlex.join(words)}: say once how many ranks there are.")
        words = [*(words or ["local"]), "-n", str(options.n)]
    if words and parse_start(words, options.notebook.parent, prog="labkit run --cluster").dry_run:
        raise UsageError("--dry-run shows a job script and runs nothing: labkit cluster start ... --dry-run.")
    options.cluster = shlex.join(words)
    options.out = options.out or options.notebook.with_name(f"{options.notebook.stem}_executed.ipynb")
    return options


def split_cluster(argv: list[str]) -> tuple[list[str], list[str]]:
    """Part the words of ``--cluster`` from the others.

    They go up to the next option of ``labkit run`` or the next word that ends in ``.ipynb``, except that
    ``-n`` is a word of the cluster. A single argument with spaces is all of them.

    Returns
    -------
    own, words : list of str

    Raises
    ------
    UsageError
        ``--cluster`` stands twice, without a kind, or has a quote that is not closed.

    Examples
    --------
    >>> split_cluster(["a.ipynb", "--cluster", "slurm", "-n", "8", "--out", "b.ipynb"])
    (['a.ipynb', '--out', 'b.ipynb'], ['slurm', '-n', '8'])
    >>> split_cluster(["--cluster", "slurm -n 8", "a.ipynb"])
    (['a.ipynb'], ['slurm', '-n', '8'])
    """
    starts = [i for i, word in enumerate(argv) if word.split("=")[0] == "--cluster"]
    if not starts:
        return argv, []
    if len(starts) > 1:
        raise UsageError("--cluster stands twice: a run has one cluster.")
    _, joined, value = argv[starts[0]].partition("=")
    rest = ([value] if joined else []) + argv[starts[0] + 1 :]
    if rest and (joined or " " in rest[0]):
        try:
            words, end = shlex.split(rest[0]), 1
        except ValueError as error:
            raise UsageError(f"--cluster {rest[0]}: {error}.") from None
    else:
        ends = (i for i, word in enumerate(rest) if word.split("=")[0] in OWN_OPTIONS or word.endswith(".ipynb"))
        end = next(ends, len(rest))
        words = rest[:end]
    if not words or words[0].startswith("-"):
        raise UsageError("--cluster: name its kind first, as in --cluster slurm -n 8 --nodes 2.")
    return argv[: starts[0]] + rest[end:], words


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number of seconds above 0.")
    return value


def _check_out(path: Path) -> None:
    """Refuse a file that could not be written, before anything runs."""
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder: name a file in it.")
    try:
        tempfile.TemporaryFile(dir=path.absolute().parent).close()
    except OSError as error:
        raise UsageError(f"--out {path} cannot be written: {error.strerror}. Name another place with --out.") from None

def _read(path: Path):
    """The notebook, without the outputs of an earlier run."""
    import nbformat

    if not path.is_file():
        raise UsageError(f"{path}: there is no such file.")
    flaws: dict = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old notebooks lack ids; they get them
            notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4, capture_validation_error=flaws)
            notebook.cells, notebook.metadata  # noqa: B018
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # nbformat raises whatever it stumbles over
        flaws["ValidationError"] = error
    if flaws:
        reason = str(flaws["ValidationError"]).strip().split("\n")[0][:200]
        raise UsageError(f"{path} is not a notebook: {reason}. JupyterLab may be able to open and save it.")
    kernel = notebook.metadata.get("kernelspec", {})
    language = kernel.get("language") or notebook.metadata.get("language_info", {}).get("name") or "python"
    if language.lower() not in ("python", "ipython"):
        raise UsageError(f"{path} is in {language}: there is a kernel for Python only.")
    for cell in notebook.cells:
        if cell.cell_type == "code" and "skip-execution" not in cell.metadata.get("tags", []):
            cell.outputs, cell.execution_count = [], None
    return notebook
