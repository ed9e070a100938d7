"""A warm %%mpi cell against ipyparallel's own %%px, on the same engines."""

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from labkit.bench import Benchmark, Goal, timed


def benchmarks():
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")
    magics = shell.find_cell_magic("mpi").__self__
    with capture_output() as captured:
        shell.run_cell_magic("mpi", "-n 4", "comm.allreduce(1)")

    def check():
        assert captured.stdout.count("Out: 4") == 4, captured.stdout

    view = magics.engines.view_of_all()
    view.block = True
    view.activate()

    def ours():
        shell.run_cell_magic("mpi", "", "pass")

    def other():
        shell.run_cell_magic("px", "", "pass")

    yield Benchmark("warm cell of 4 ranks against %%px", Goal("<=", 1.3), timed(ours, other, 41), check)
    magics.engines.stop()
