"""Topology: of this machine against psutil, of made-up machines by hand."""

import os

import psutil
import pytest

from labkit.hardware.topology import detect_topology


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def machine(root, sockets, cores, smt, *, l3=True, cpu_max=None, memory_max=None):
    """A /sys tree; hardware threads are numbered as Linux does, the second threads last."""
    total = sockets * cores
    for thread in range(total * smt):
        core = thread % total
        cpu = root / f"devices/system/cpu/cpu{thread}"
        write(cpu / "topology/physical_package_id", str(core // cores))
        write(cpu / "topology/core_id", str(core % cores))
        siblings = ",".join(str(core + total * s) for s in range(smt))
        socket = ",".join(str(c + total * s) for s in range(smt) for c in range(total) if c // cores == core // cores)
        levels = [("1", "Data", "48K", siblings), ("2", "Unified", "2048K", siblings)]
        levels += [("3", "Unified", "96M", socket)] if l3 else []
        for index, (level, kind, size, shared) in enumerate(levels):
            for name, value in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
                write(cpu / f"cache/index{index}/{name}", value)
    for node in range(sockets):
        (root / f"devices/system/node/node{node}").mkdir(parents=True)
    if cpu_max:
        write(root / "fs/cgroup/cpu.max", cpu_max)
    if memory_max:
        write(root / "fs/cgroup/memory.max", memory_max)
    return root


def test_this_machine():
    topology = detect_topology()
    assert topology.num_threads == os.cpu_count()
    assert topology.num_usable <= len(os.sched_getaffinity(0))
    assert 0 < topology.memory_bytes <= psutil.virtual_memory().total
    assert topology.cpu_model


@pytest.mark.parametrize(("sockets", "cores", "smt"), [(1, 1, 1), (1, 3, 1), (2, 4, 2), (2, 64, 2)])
def test_made_up_machines(tmp_path, sockets, cores, smt):
    topology = detect_topology(machine(tmp_path, sockets, cores, smt))
    assert (topology.num_sockets, topology.num_cores, topology.num_threads) == (sockets, sockets * cores, sockets * cores * smt)
    assert topology.num_numa_nodes == sockets
    found = {(c.level, c.size_bytes, c.shared_by, c.count) for c in topology.caches}
    assert found == {
        (1, 48 * 1024, smt, sockets * cores), (2, 2**21, smt, sockets * cores), (3, 96 * 2**20, cores * smt, sockets),
    }
    assert topology.last_level_cache_bytes == 96 * 2**20
    assert topology.cache_size(2) == 2**21 and topology.cache_size(4) is None


def test_limits_of_a_container(tmp_path):
    topology = detect_topology(machine(tmp_path, 1, 64, 1, cpu_max="150000 100000", memory_max=str(2**30)))
    assert topology.num_usable <= 2
    assert topology.memory_bytes == topology.available_bytes == 2**30


def test_a_system_that_tells_nothing(tmp_path):
    topology = detect_topology(tmp_path / "sys", tmp_path / "proc")
    assert topology.num_threads == os.cpu_count()
    assert topology.caches == () and topology.cpu_model
    assert topology.last_level_cache_bytes == 8 * 2**20
