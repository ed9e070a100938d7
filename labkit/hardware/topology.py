"""The parts of this machine: sockets, cores, caches, memory, GPUs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache: its level, what it holds, its size, and how many hardware threads share each one."""

    level: int
    kind: str  # "Data", "Instruction" or "Unified"
    size_bytes: int
    shared_by: int
    count: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU and its memory."""

    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The parts of a machine; None or () where the system does not tell.

    ``num_usable`` hardware threads may be fewer than ``num_threads``: this process may be bound to
    some of them, or a container may limit it.
    """

    cpu_model: str
    num_sockets: int
    num_cores: int
    num_threads: int
    num_usable: int
    num_numa_nodes: int
    simd: str
    caches: tuple[Cache, ...]
    memory_bytes: int
    available_bytes: int
    gpus: tuple[Gpu, ...] = ()

    def cache_size(self, level: int) -> int | None:
        """Bytes of one data or unified cache of this level."""
        return next((c.size_bytes for c in self.caches if c.level == level and c.kind != "Instruction"), None)

    @property
    def last_level_cache_bytes(self) -> int:
        """Bytes of the largest cache; 8 MiB if the system does not tell."""
        return max((c.size_bytes for c in self.caches), default=8 * 2**20)


def detect_topology(sys_root: Path = Path("/sys"), proc_root: Path = Path("/proc")) -> Topology:
    """Look at this machine. Never fails: what cannot be found out is left at its simplest value."""
    import psutil

    cpus = sorted(
        (p for p in (sys_root / "devices/system/cpu").glob("cpu[0-9]*") if (p / "topology").is_dir()),
        key=lambda p: int(p.name[3:]),
    )
    packages = {_read(cpu / "topology/physical_package_id") for cpu in cpus} - {None}
    cores = {
        (_read(cpu / "topology/physical_package_id"), _read(cpu / "topology/core_id")) for cpu in cpus
    }
    num_threads = len(cpus) or os.cpu_count() or 1
    memory = psutil.virtual_memory()
    limit = _memory_limit(sys_root)
    return Topology(
        cpu_model=_cpu_model(proc_root),
        num_sockets=max(1, len(packages)),
        num_cores=len(cores) or psutil.cpu_count(logical=False) or num_threads,
        num_threads=num_threads,
        num_usable=_num_usable(num_threads, sys_root),
        num_numa_nodes=max(1, len(list((sys_root / "devices/system/node").glob("node[0-9]*")))),
        simd=_simd(proc_root),
        caches=_caches(cpus),
        memory_bytes=min(memory.total, limit or memory.total),
        available_bytes=min(memory.available, limit or memory.available),
        gpus=_gpus(),
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _caches(cpus: list[Path]) -> tuple[Cache, ...]:
    found: dict[tuple[int, str, int, int], set[str]] = {}
    for cpu in cpus:
        for index in (cpu / "cache").glob("index[0-9]*"):
            level, kind = _read(index / "level"), _read(index / "type")
            size, shared = _read(index / "size"), _read(index / "shared_cpu_list")
            if not (level and kind and size and shared):
                continue
            key = int(level), kind, parse_size(size), len(parse_cpu_list(shared))
            found.setdefault(key, set()).add(shared)
    return tuple(Cache(*key, len(places)) for key, places in sorted(found.items()))


def parse_size(text: str) -> int:
    """A size as Linux writes it.

    Examples
    --------
    >>> parse_size("48K"), parse_size("32M"), parse_size("512")
    (49152, 33554432, 512)
    """
    scale = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:].upper(), 1)
    return int(text.rstrip("KMGkmg")) * scale


def parse_cpu_list(text: str) -> list[int]:
    """A list of processors as Linux writes it.

    Examples
    --------
    >>> parse_cpu_list("0-3,8,10-11")
    [0, 1, 2, 3, 8, 10, 11]
    """
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.strip():
            numbers += range(int(first), int(last or first) + 1)
    return numbers


def _num_usable(num_threads: int, sys_root: Path) -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else num_threads
    quota, _, period = (_read(sys_root / "fs/cgroup/cpu.max") or "max 1").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        usable = min(usable, max(1, round(int(quota) / int(period))))
    return max(1, min(usable, num_threads))


def _memory_limit(sys_root: Path) -> int | None:
    text = _read(sys_root / "fs/cgroup/memory.max")
    return int(text) if text and text.isdigit() else None


def _cpu_model(proc_root: Path) -> str:
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", _read(proc_root / "cpuinfo") or "", re.M)
    return match[1].strip() if match else platform.processor() or platform.machine()


def _simd(proc_root: Path) -> str:
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", _read(proc_root / "cpuinfo") or "", re.M)
    flags = set(match[1].split()) if match else set()
    known = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sse2": "SSE2", "sve": "SVE", "asimd": "NEON"}
    return next((name for flag, name in known.items() if flag in flags), "")


def _gpus() -> tuple[Gpu, ...]:
    """NVIDIA GPUs, asked of the driver's own tool: torch takes seconds to import."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        output = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.rsplit(",", 1) for line in output.splitlines() if "," in line]
    return tuple(Gpu(n.strip(), int(m) * 2**20) for n, m in rows if m.strip().isdigit())
