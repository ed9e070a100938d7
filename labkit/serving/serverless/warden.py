"""The process between the owner and the service: when either ends, however that comes, no process is left.

Run as ``python -I -S warden.py COMMAND...``; standard input is a pipe from the owner, which the service reads. It
imports nothing of labkit. On Linux it adopts every orphan below it, whatever session or group it moved to, so that
after the end of the service what is left are its own children, and those it kills.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
LOOK_EVERY_S = 1.0
PATIENCE_S = 20.0  # for the service to end its environments itself


def main(command):
    owner = os.getppid()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the service is told, and this process stays to the end
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    service = subprocess.Popen(command)
    os.close(1)  # the owner waits for the end of the service's standard output
    events = select.poll()
    events.register(0, 0)  # nothing but the owner's end
    events.register(wake_read, select.POLLIN)
    limit = None
    while service.poll() is None:
        ready = dict(events.poll(LOOK_EVERY_S * 1000))
        told = b""
        if wake_read in ready:
            told = os.read(wake_read, 4096)
        if limit is None and (0 in ready or os.getppid() != owner or set(told) - {signal.SIGCHLD}):
            limit = time.monotonic() + PATIENCE_S
            service.terminate()
            events.unregister(0)
        if limit is not None and time.monotonic() > limit:
            service.kill()
        reap(service.pid)
    kill_all()
    return service.returncode


def reap(service):
    """Orphans that ended."""
    for child in children():
        if child != service:
            try:
                os.waitpid(child, os.WNOHANG)
            except OSError:
                pass


def kill_all():
    """Until there is nothing left below this process."""
    while True:
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
    sys.exit(main(sys.argv[1:]))
