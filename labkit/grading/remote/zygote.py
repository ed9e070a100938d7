"""The process in the sandbox that starts ranks: it imports once, and forks for every rank.

Run as ``python -m labkit.grading.remote.zygote CONTROL CHANNEL FOLDERS``. The control socket brings frames
``["ranks", numbers, source, function, options]``, the channel a socket for each of the numbers, by which the judge
names these processes from now on.
Until a rank is confined, nothing of the answer has been executed in it.
"""

from __future__ import annotations

import functools
import gc
import json
import linecache
import os
import signal
import socket
import sys
from pathlib import Path

import numpy as np  # noqa: F401  imported once, here, for all ranks
from mpi4py import MPI  # noqa: F401

from labkit.comm import reduction  # noqa: F401
from labkit.grading.confinement.confine import Confinement, prepare
from labkit.grading.confinement.seccomp import Level
from labkit.grading.remote import team
from labkit.grading.remote.arguments import Wires
from labkit.grading.remote.calls import PASSES
from labkit.grading.remote.counted import CountedArray, Passes, mapped
from labkit.grading.remote.raised import ANSWER_FILE, raised
from labkit.grading.remote.rank import world_of
from labkit.grading.remote.wire import UNLIMITED, Closed, Link, WireError, decode, encode


def main(control_fd: int, fds_fd: int, readable: list[str], hidden: list[str]) -> None:
    """Fork ranks until the judge closes the connection."""
    confinement = prepare(Level.ANSWER, readable=[Path(p) for p in readable], hidden=[Path(p) for p in hidden])
    sink = os.open(os.devnull, os.O_RDWR)
    control, channel = socket.socket(fileno=control_fd), socket.socket(fileno=fds_fd)
    link = Link(control, UNLIMITED)
    gc.freeze()  # pages that are not touched stay shared
    living: dict[int, int] = {}  # process ids by number, until they have been waited for
    while True:
        try:
            order, _ = link.receive()
        except Closed:
            os._exit(0)
        if order[0] == "ranks":
            _, numbers, source, function, options = order
            has_team = options.pop("has_team", False)
            if has_team:
                prepare_team()
            fds = []
            while len(fds) < len(numbers):
                _, got, _, _ = socket.recv_fds(channel, 1, len(numbers))
                fds += got
            for number, fd in zip(numbers, fds, strict=True):
                pid = os.fork()
                if pid == 0:
                    if not has_team:
                        team.forget()
                    be_a_rank(fd, sink, source, function, confinement, options)
                living[number] = pid
                os.close(fd)
        elif order[0] == "status":
            link.send(["status", [_ended(number, living) for number in order[1]]])
        elif order[0] == "end":
            pids = [living.pop(number) for number in order[1] if number in living]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                os.waitpid(pid, 0)


@functools.cache
def prepare_team() -> None:
    """What answers with threads need, once: Numba takes a second, which other answers need not wait for."""
    team.prepare()
    gc.freeze()


def _ended(number: int, living: dict[int, int]) -> int | None:
    """How a rank's process ended, as ``subprocess`` says it; None if it has not, or was asked for before."""
    if number not in living:
        return None
    found, status = os.waitpid(living[number], os.WNOHANG)
    if not found:
        return None
    del living[number]
    return os.waitstatus_to_exitcode(status)


def be_a_rank(fd: int, sink: int, source: str, function: str, confinement: Confinement, options: dict) -> None:
    """Confine this process, then call the answer whenever the judge asks."""
    code = 1
    try:
        for standard in (0, 1, 2):
            os.dup2(sink, standard)
        link = Link(socket.socket(fileno=fd), UNLIMITED)
        linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(keepends=True), ANSWER_FILE)
        try:
            confinement.apply(keep_fds={fd}, **options)
        except Exception as error:  # not the answer's fault: say so instead of running it unconfined
            link.send(["unconfined", f"{type(error).__name__}: {error}"])
            os._exit(code)
        link.send(["confined"])
        serve(link, source, function)
        code = 0
    except BaseException:
        code = 3
    finally:
        os._exit(code)


def serve(link: Link, source: str = "", function: str = "", comm_of=None) -> None:
    """Answer the judge's orders ``["run", rank, size, arguments, counted]`` until it closes the connection.

    Where ``counted`` is true, the arrays that the answer is given count how often it goes through memory; where it is a
    dict, the first argument is a team of threads.
    ``["answer", source, function]`` replaces the answer, for processes that are used for several; ``["forget"]``
    lets the present one begin again with names of its own.
    """
    names: dict | None = None
    code = None
    wires = Wires(link)
    while True:
        try:
            order, blocks = link.receive()
        except Closed:
            return
        if order[0] == "combine":  # for a collective that this rank has started and not waited for
            wires.combine(order, blocks)
            continue
        if order[0] == "answer":
            _, source, function = order
            linecache.cache[ANSWER_FILE] = (len(source), None, source.splitlines(keepends=True), ANSWER_FILE)
            names = code = None
            continue
        if order[0] == "forget":
            names = None
            continue
        _, rank, size, arguments, counted = order
        wires = Wires(link)
        try:
            given = decode(arguments, blocks)
            with_team = team.TeamCall(counted, given) if isinstance(counted, dict) else None
            passes = Passes(given) if counted and with_team is None else None
            if size and comm_of is None:
                comm = world_of(wires, rank, size)
            else:
                comm = comm_of(rank, size) if size else None
            if names is None:
                names = {"__name__": "answer", "__file__": ANSWER_FILE}
                code = code or compile(source, ANSWER_FILE, "exec")
                exec(code, names)
            if with_team is not None:
                results = with_team.run(names[function])
            else:
                found = names[function](*([comm] if size else []), *(passes.arguments if passes else given))
                results = {"return": found} | dict(enumerate(given))
            if passes is not None:
                results |= {"return": mapped(found, CountedArray.plain), PASSES: passes.number()}
        except BaseException as error:
            link.send(["raised", *raised(error)])
            continue
        reply: list = []
        value = {"dict": [[key, _encoded(item, reply)] for key, item in results.items()]}
        try:
            link.send(["result", value, wires.charges], reply)
        except (ValueError, TypeError, RecursionError) as error:
            link.send(["raised", *raised(error)])


def _encoded(value, blocks):
    kept = len(blocks)
    try:
        return encode(value, blocks)
    except (WireError, RecursionError, ValueError, OverflowError):
        del blocks[kept:]
        return {"odd": type(value).__name__}


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *json.loads(sys.argv[3]))
