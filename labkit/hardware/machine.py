"""Everything that is measured about a machine, as one value; measured once and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.hardware.compute import matmul_rate
from labkit.hardware.gpu import GpuRates, measure_gpus
from labkit.hardware.memory import LadderStep, cache_ladder, level_bandwidth
from labkit.hardware.messages import MessageTimes, measure_messages
from labkit.hardware.roofline import Roofline
from labkit.hardware.topology import Cache, Gpu, Topology, detect_topology

FORMAT = 1


@dataclass(frozen=True)
class Machine:
    """A machine and its measured speeds; ``messages`` is None where there is no MPI."""

    topology: Topology
    roofline: Roofline
    ladder: tuple[LadderStep, ...]
    messages: MessageTimes | None
    gpus: tuple[GpuRates, ...]

    def to_json(self) -> str:
        """As JSON text that :meth:`from_json` reads back equal."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Machine:
        """The machine that :meth:`to_json` has written."""
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("written by another version")
        topology, roofline, messages = data["topology"], data["roofline"], data["messages"]
        topology["caches"] = tuple(Cache(**c) for c in topology["caches"])
        topology["gpus"] = tuple(Gpu(**g) for g in topology["gpus"])
        roofline["bandwidths"] = tuple((name, rate) for name, rate in roofline["bandwidths"])
        if messages is not None:
            messages = MessageTimes(
                tuple(messages["sizes_bytes"]), tuple(messages["times_s"]), messages["alpha_s"],
                messages["beta_s_per_byte"],
            )
        return cls(
            Topology(**topology), Roofline(**roofline),
            tuple(LadderStep(**step) for step in data["ladder"]), messages,
            tuple(GpuRates(**rates) for rates in data["gpus"]),
        )


def measure_machine(progress: Callable[[str], None] = lambda text: None) -> Machine:
    """Measure this machine in some ten seconds; ``progress`` is told each step in words."""
    topology = detect_topology()
    threads = topology.num_usable
    progress("memory bandwidth, level by level ...")
    bandwidths = tuple(level_bandwidth(topology, threads).items())
    progress("memory latency, level by level ...")
    ladder = cache_ladder(topology)
    progress("floating-point peak ...")
    roofline = Roofline(matmul_rate("float64"), matmul_rate("float32"), bandwidths)
    progress("messages between two MPI ranks ...")
    try:
        messages = measure_messages()
    except NotAvailableError:
        messages = None
    gpus: tuple[GpuRates, ...] = ()
    if topology.gpus:
        progress("GPUs ...")
        gpus = measure_gpus()
    progress("Measured.")
    return Machine(topology, roofline, ladder, messages, gpus)


def this_machine(
    progress: Callable[[str], None] = lambda text: None, *, again: bool = False
) -> Machine:
    """This machine, from the notes of an earlier measurement if there are any (or ``again``)."""
    path = cache_path()
    if not again:
        try:
            return Machine.from_json(path.read_text())
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no notes, or notes that cannot be read: measure
    machine = measure_machine(progress)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(machine.to_json())
    except OSError:
        progress("Measured (the notes could not be kept).")
    return machine


def cache_path() -> Path:
    """Where the notes about this machine are kept: a file for each processor, cores and memory."""
    topology = detect_topology()
    parts = (topology.cpu_model, topology.num_usable, topology.memory_bytes >> 28, topology.gpus, FORMAT)
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "labkit", f"machine-{name}.json")
