"""Processes of environments: starting one, its memory, and its end with all that it started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from labkit.serving.serverless.settings import ACCOUNT, MB_PER_VCPU, REGION, FunctionSettings

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Libraries reserve memory that they never touch, so the hard limit is well above the watched one.
HARD_LIMIT_FACTOR, HARD_LIMIT_EXTRA_BYTES = 2, 1 << 30
CLEAN_UP_S = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def environment_variables(
    settings: FunctionSettings, api_port: int, log_stream: str, is_provisioned: bool
) -> dict[str, str]:
    """The variables that AWS sets for a managed runtime, and the function's own; nothing of this process."""
    folder = str(settings.folder)
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api_port}",
        "AWS_LAMBDA_FUNCTION_NAME": settings.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{settings.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency" if is_provisioned else "on-demand",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCOUNT_ID": ACCOUNT,
        "LAMBDA_TASK_ROOT": folder,
        "LAMBDA_RUNTIME_DIR": str(Path(sys.executable).parent),
        "_HANDLER": settings.handler,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        # /var/task cannot be written to on AWS, so nothing compiled is kept there.
        "PYTHONDONTWRITEBYTECODE": "1",
        # In place of AWS's share of a processor: libraries start no more threads than the function would have cores.
        "OMP_NUM_THREADS": str(max(1, settings.memory_mb // MB_PER_VCPU)),
    }
    return variables | dict(settings.environment)


def spawn(settings: FunctionSettings, variables: dict[str, str], marks: int, output: int) -> subprocess.Popen:
    """Start the process of an environment, leader of its own session, standard output and error into `output`.

    It must be called from the service's main thread: Linux ends the process with the thread that started it.
    """
    order = {
        "marks": marks,
        "owner": os.getpid(),
        "folder": str(settings.folder),
        "handler": settings.handler,
        "loaders": settings.model_loaders,
        "max_data_bytes": HARD_LIMIT_FACTOR * settings.memory_mb * 2**20 + HARD_LIMIT_EXTRA_BYTES,
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-s", str(BOOTSTRAP), json.dumps(order)],
        cwd=settings.folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(marks,),
        start_new_session=True,
    )


def kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def resident_bytes(pid: int) -> int:
    """Memory that a process holds now; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def proportional_bytes(pid: int) -> int:
    """The same with a share only of every page that it shares. Takes longer to find out."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def peak_bytes(pid: int) -> int:
    """The most that a process has held; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            text = file.read()
    except OSError:
        return 0
    at = text.find(b"VmHWM:")
    return int(text[at + 6 : text.index(b"kB", at)]) * 1024 if at >= 0 else 0


def descendants(pid: int) -> list[int]:
    """All processes below one, whichever thread started them."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    children = [int(word) for word in file.read().split()]
                found += children
                waiting += children
        except OSError:
            continue
    return found


def signal_words(number: int) -> str:
    """A signal as AWS's messages name it."""
    names = {
        signal.SIGKILL: "killed",
        signal.SIGSEGV: "segmentation fault",
        signal.SIGABRT: "aborted",
        signal.SIGBUS: "bus error",
        signal.SIGTERM: "terminated",
        signal.SIGFPE: "floating point exception",
        signal.SIGILL: "illegal instruction",
        signal.SIGINT: "interrupt",
        signal.SIGHUP: "hangup",
    }
    return names.get(number) or signal.Signals(number).name


class Orphans:
    """Ends what a dead environment leaves behind.

    An environment adopts all its orphans while it lives, whatever session they moved to. When it dies, they become
    children of the service: whatever child the service did not start itself is such an orphan.
    """

    def __init__(self, own: set[int]):
        self.own = own  # ids of the processes of environments that are not reaped yet
        self._task: asyncio.Task | None = None

    def sweep(self) -> None:
        if self._task is None or self._task.done():
            if self.kill():
                self._task = asyncio.ensure_future(self._until_none())

    def kill(self) -> int:
        """Kill and reap all that are there; returns how many are left."""
        left = 0
        for pid in children_of_this_process():
            if pid in self.own:
                continue
            try:
                os.kill(pid, signal.SIGKILL)
                left += os.waitpid(pid, os.WNOHANG) == (0, 0)
            except OSError:
                continue
        return left

    async def _until_none(self):
        limit = time.monotonic() + CLEAN_UP_S
        while self.kill() and time.monotonic() < limit:
            await asyncio.sleep(0.005)

    async def finish(self) -> None:
        await self._until_none()


def children_of_this_process() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def tie_to_parent() -> None:
    """For the service's process: it is told to end when the warden ends, and adopts the orphans of its environments."""
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
