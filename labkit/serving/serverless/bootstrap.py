"""The first thing that runs in an environment: notes times, then becomes ``python -m awslambdaric HANDLER``.

Run as ``python -P bootstrap.py ORDER`` with JSON: ``marks`` (a file descriptor), ``owner`` (id of the service's
process), ``folder``, ``handler``, ``loaders`` (dotted names of functions that load a model) and ``max_data_bytes``. It
imports nothing of labkit. The handler's file needs to know nothing of it: an import hook notes when the handler's
import begins, and puts a stopwatch around the functions that load a model.
"""

import time

BEGUN_NS = time.monotonic_ns()

import ctypes  # noqa: E402
import functools  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import runpy  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(order):
    os.set_inheritable(order["marks"], False)
    tie_to(order["owner"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(order["max_data_bytes"])
    mark = Marks(order["marks"])
    mark("begun", BEGUN_NS)
    sys.meta_path.insert(0, ImportWatch(mark, order["handler"], order["loaders"]))
    sys.path.insert(0, order["folder"])
    sys.argv = ["awslambdaric", order["handler"]]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)


def tie_to(owner):
    """End when the service ends; and adopt the orphans among the handler's processes, so that they are found."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != owner:
        os._exit(1)


def limit_memory(num_bytes):
    """Behind the limit that the service watches: no process of the handler can ever take the whole machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > num_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (num_bytes, num_bytes))
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # if the machine runs out of memory, this process goes first
    except OSError:
        pass


class Marks:
    """Writes ``name nanoseconds ...`` lines, each in one write."""

    def __init__(self, fd):
        self.fd = fd

    def __call__(self, name, *times_ns):
        try:
            os.write(self.fd, f"{name} {' '.join(map(str, times_ns))}\n".encode())
        except OSError:
            pass  # a handler closed it; times are then missing, and nothing else


class ImportWatch:
    """A finder that finds nothing itself: it sees what is looked for."""

    def __init__(self, mark, handler, loaders):
        self.mark = mark
        self.handler_module = handler.rsplit(".", 1)[0].replace("/", ".").split(".")[0]
        self.functions = {}
        for name in loaders:
            module, _, function = name.rpartition(".")
            self.functions.setdefault(module, []).append(function)
        self.is_looking = False
        self.depth = 0

    def find_spec(self, name, path=None, target=None):
        if name == self.handler_module:
            self.mark("imports", time.monotonic_ns())
            self.handler_module = None
        if name not in self.functions or self.is_looking:
            return None
        self.is_looking = True
        try:
            spec = self.other_finders(name, path, target)
        finally:
            self.is_looking = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            self.watch_loader(spec.loader, self.functions[name])
        return spec

    def other_finders(self, name, path, target):
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                return spec
        return None

    def watch_loader(self, loader, names):
        execute = loader.exec_module

        def exec_module(module):
            execute(module)
            for name in names:
                if callable(function := getattr(module, name, None)):
                    setattr(module, name, self.timed(function))

        try:
            loader.exec_module = exec_module
        except AttributeError:
            pass  # a loader that cannot be changed: its time counts as import

    def timed(self, function):
        @functools.wraps(function)
        def with_stopwatch(*arguments, **options):
            start = time.monotonic_ns()
            self.depth += 1
            try:
                return function(*arguments, **options)
            finally:
                self.depth -= 1
                if self.depth == 0:
                    self.mark("model", start, time.monotonic_ns())

        return with_stopwatch


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
