"""Memory of a node: a rank whose process has ended is noticed."""

import subprocess
import sys

import pytest

from labkit.errors import LabkitError
from labkit.training.data_parallel import node_memory
from labkit.training.data_parallel.node_memory import ARRIVED, NodeMemory

CHILD = """
import sys
from pathlib import Path
from labkit.training.data_parallel.node_memory import ARRIVED, NodeMemory
memory = NodeMemory(Path(sys.argv[1]), 1, 2, 64)
memory.rooms[0][:3] = [1, 2, 3]
memory.announce(ARRIVED, 1)
print("here", flush=True)
sys.stdin.read()
"""


def test_a_process_that_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(node_memory, "LOOK_EVERY_S", 0.05)
    assert all(node_memory._make(tmp_path, rank, 64) for rank in range(2))
    memory = NodeMemory(tmp_path, 0, 2, 64)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "here\n"
        memory.announce(ARRIVED, 2)
        assert memory.lowest(ARRIVED) == 1 and memory.rooms[0][:4].tolist() == [1, 2, 3, 0]
        for _ in range(5):  # it is there, and computes
            memory.nap(0.06, ARRIVED, 2)
        child.kill()
        child.wait(60)
        with pytest.raises(LabkitError, match="rank 1 has ended"):
            for _ in range(1000):
                memory.nap(0.06, ARRIVED, 2)
        memory.nap(0.06, ARRIVED, 1)  # what it had done before counts
    finally:
        child.kill()
        child.communicate()
        memory.close()


def test_no_folder_of_another_machine(tmp_path):
    assert not node_memory._make(tmp_path / "elsewhere", 0, 64)
    assert not node_memory._make(tmp_path, 0, 1 << 60)
    with pytest.raises(ValueError, match="greater than file size"):
        NodeMemory(tmp_path, 0, 1, 64)
