"""The process between the notebook and a program: starts it, takes its time, ends it with all that it started.

Run as ``python -I -S supervise.py ORDER``; ORDER is JSON with ``command``, ``environment``, ``control`` (a file
descriptor: when its other end is closed, by Stop, a time limit, or the end of the notebook, the program is ended),
``report`` (a file descriptor for one last line ``end {...}``) and ``same_addresses`` (for the thread sanitizer).
It imports nothing of labkit. The program gets a process group of its own; processes that left the group come to this
process when their parents die (Linux), so that they are found, too.
"""

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ADDR_NO_RANDOMIZE = 0x0040000
LINUX = sys.platform.startswith("linux")
LOOK_EVERY_S = 1.0
CLEAN_UP_S = 2.0
BUSY_S = 2.0


def main(order):
    libc = ctypes.CDLL(None) if LINUX else None
    if LINUX:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    owner = os.getppid()
    control, report = order["control"], order["report"]
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    start = time.perf_counter_ns()
    program = os.fork()
    if program == 0:
        become(order, libc)
    try:
        os.setpgid(program, program)  # whichever of the two comes first
    except OSError:
        pass
    ended = None
    while True:
        done, status, usage = os.wait4(program, os.WNOHANG)
        now = time.perf_counter_ns()
        if done:
            break
        ready = select.select([control, wake_read], [], [], LOOK_EVERY_S)[0]
        if wake_read in ready:
            os.read(wake_read, 4096)
        if ended is None and (control in ready or os.getppid() != owner):
            ended = True
            kill_group(program)
        if ended:
            kill_group(program)
            time.sleep(0.01)
    kill_group(program)
    kill_orphans()
    line = {
        "status": os.waitstatus_to_exitcode(status), "wall_ns": now - start, "cpu_s": usage.ru_utime + usage.ru_stime,
        "ended": bool(ended),
    }
    try:
        os.write(report, f"\nend {json.dumps(line)}\n".encode())
    except OSError:
        pass  # the notebook is gone


def become(order, libc):
    """In the new process: the program."""
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if LINUX:
            parent = os.getppid()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent or parent == 1:
                os._exit(1)
            if order["same_addresses"]:
                libc.personality(ADDR_NO_RANDOMIZE)
            first_out_of_memory()
        os.close(order["control"])
        execute(order["command"], order["environment"])
    except OSError as error:
        os.write(2, f"{order['command'][0]}: {error}\n".encode())
    finally:
        os._exit(127)


def execute(command, environment):
    """Become the command; while something still has its file open for writing, wait a little."""
    limit = time.monotonic() + BUSY_S
    while True:
        try:
            os.execve(command[0], command, environment)
        except OSError as error:
            if error.errno != errno.ETXTBSY or time.monotonic() > limit:
                raise
        time.sleep(0.01)


def first_out_of_memory():
    """If memory runs out, the system ends the program and not the notebook."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


def kill_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def kill_orphans():
    """End what left the program's group: orphans have become children of this process."""
    limit = time.monotonic() + CLEAN_UP_S
    while time.monotonic() < limit:
        for child in children():
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                pass
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.005)
        except ChildProcessError:
            return


def children():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
