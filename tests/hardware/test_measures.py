"""Measurements: their results are right; how long they take is never asserted."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware import machine as machine_module
from labkit.hardware.compute import matmul_rate
from labkit.hardware.machine import Machine, this_machine
from labkit.hardware.memory import pointer_cycle, stream_bandwidth
from labkit.hardware.messages import find_mpiexec, fit_alpha_beta, measure_messages, run_mpi
from labkit.hardware.roofline import Roofline
from labkit.hardware.timing import Comparison, compare


@pytest.mark.parametrize("num_lines", [1, 2, 3, 64, 1000])
def test_pointer_chase_visits_every_line_once(num_lines):
    following = pointer_cycle(num_lines, seed=3)
    seen, at = set(), 0
    for _ in range(num_lines):
        assert at % 8 == 0 and at not in seen
        seen.add(at)
        at = following[at]
    assert at == 0 and len(seen) == num_lines


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (7, 2), (1000, 1), (100_003, 2), (5, 64)])
def test_stream_computes_and_gives_four_rates(size, threads):
    rates = stream_bandwidth(size, threads, repeats=2, rounds=1)
    assert list(rates) == ["copy", "scale", "add", "triad"]
    assert all(rate > 0 for rate in rates.values())


def test_fit_finds_the_line():
    sizes = np.array([1, 10, 1000, 10**5, 10**7])
    alpha, beta = fit_alpha_beta(sizes, 2e-6 + 3e-10 * sizes)
    assert alpha == pytest.approx(2e-6) and beta == pytest.approx(3e-10)
    assert fit_alpha_beta([1, 2], [2e-6, 1e-6])[1] == 0.0


@pytest.mark.parametrize(("sizes", "times", "expected"), [
    ([1e3, 1e4, 1e5, 1e6], [1e-6, 1.1e-5, 1.3e-4, 2e-3], (0.0, 1.191e-9)),  # alone, alpha would be negative
    ([1, 1e3, 1e6], [3e-6, 2e-6, 1e-6], None),  # beta
    ([1, 1e3, 1e6], [2e-6, 3e-6, 1.002e-3], None),  # neither
])
def test_the_fit_is_the_best_of_those_without_a_negative_number(sizes, times, expected):
    found = fit_alpha_beta(sizes, times)
    errors = [(found[0] + found[1] * s) / t - 1 for s, t in zip(sizes, times, strict=True)]
    # The sum of squares has one minimum: where a number is above 0 its slope is 0, at 0 it goes upwards.
    for value, weights in zip(found, ([1 / t for t in times], [s / t for s, t in zip(sizes, times, strict=True)])):
        slope = sum(e * w for e, w in zip(errors, weights)) / sum(weights)
        assert slope == pytest.approx(0, abs=1e-9) if value > 0 else value == 0 and slope > 0
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-3)


def test_compare_alternates_and_counts():
    calls = []
    result = compare(lambda: calls.append("a"), lambda: calls.append("b"), rounds=9, warmup=2)
    assert calls == ["a", "b"] * 11
    assert len(result.ours) == len(result.other) == 9
    assert Comparison((2.0, 4.0, 90.0), (2.0,)).ratio == 2.0
    assert Comparison((2.0, 4.0, 90.0), (1.0,)).difference == 3.0


def test_roofline_refuses_what_is_no_intensity():
    roof = Roofline(1e9, 2e9, (("DRAM", 1e9),))
    for value in (0, -1, float("nan")):
        with pytest.raises(UsageError):
            roof.attainable(value)


def test_matmul_rate_is_positive():
    assert matmul_rate("float32", 64, 1) > 0


@pytest.mark.mpi
def test_messages_between_two_real_ranks():
    times = measure_messages()
    assert times.sizes_bytes[0] == 1 and times.sizes_bytes[-1] >= 2**20
    assert all(t > 0 for t in times.times_s)
    assert times.times_s[-1] > times.times_s[0]


@pytest.mark.mpi
def test_a_program_that_hangs_is_ended(tmp_path):
    program = tmp_path / "hang.py"
    note = tmp_path / "pids"
    program.write_text(
        f"from mpi4py import MPI\nimport os\nopen({str(note)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "MPI.COMM_WORLD.recv(source=1 - MPI.COMM_WORLD.rank)\n"
    )
    with pytest.raises(NotAvailableError, match="did not answer within 4 s"):
        run_mpi([str(program)], 2, 4)
    deadline = time.monotonic() + 20
    pids = [int(line) for line in note.read_text().split()]
    assert len(pids) == 2
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline, "ranks were left behind"
        time.sleep(0.1)


@pytest.mark.mpi
def test_ranks_end_with_the_process_that_waits_for_them(tmp_path):
    note, program = tmp_path / "pids", tmp_path / "wait.py"
    program.write_text(
        f"from mpi4py import MPI\nimport os\nopen({str(note)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "MPI.COMM_WORLD.recv(source=1 - MPI.COMM_WORLD.rank)\n"
    )
    call = f"from labkit.hardware.messages import run_mpi; run_mpi([{str(program)!r}], 2)"
    owner = subprocess.Popen([sys.executable, "-c", call], start_new_session=True)
    deadline = time.monotonic() + 60
    while not note.exists() or len(note.read_text().split()) < 2:
        assert time.monotonic() < deadline and owner.poll() is None
        time.sleep(0.05)
    owner.kill()
    owner.wait()
    while any(os.path.exists(f"/proc/{pid}") for pid in note.read_text().split()):
        assert time.monotonic() < deadline, "ranks were left behind"
        time.sleep(0.1)


@pytest.mark.mpi
def test_a_program_that_fails_is_told():
    with pytest.raises(NotAvailableError, match="mpiexec -n 2 failed"):
        run_mpi(["-c", "raise SystemExit('broken')"], 2)


@pytest.mark.mpi
def test_a_rank_that_is_killed_is_named(tmp_path):
    program = tmp_path / "killed.py"
    program.write_text(
        "from mpi4py import MPI\nimport os\ncomm = MPI.COMM_WORLD\ncomm.Barrier()\n"
        "if comm.rank == 2:\n    os.kill(os.getpid(), 9)\n"
        "while True:\n    comm.Iprobe(source=2)\n"  # busy, as ranks of a pipeline are
    )
    for _ in range(3):  # mpiexec often names rank 0 instead
        with pytest.raises(NotAvailableError, match=r"mpiexec -n 4 failed: rank 2 was ended by signal 9 \(SIGKILL\)"):
            run_mpi([str(program)], 4)


def test_no_mpiexec_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(NotAvailableError, match="pip install mpich mpi4py"):
        find_mpiexec()


@pytest.mark.mpi
def test_the_machine_is_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = []
    first = this_machine(said.append)
    assert said[-1] == "Measured." and len(said) >= 5
    assert [name for name, _ in first.roofline.bandwidths][-1] == "DRAM"
    assert first.ladder[0].size_bytes == 4096
    assert Machine.from_json(first.to_json()) == first
    monkeypatch.setattr(machine_module, "measure_machine", lambda progress: pytest.fail("measured twice"))
    assert this_machine() == first
    notes = list((tmp_path / "labkit").iterdir())
    assert len(notes) == 1
    notes[0].write_text("{")
    monkeypatch.setattr(machine_module, "measure_machine", lambda progress: first)
    assert this_machine() == first
    assert json.loads(notes[0].read_text())["format"] == 1


@pytest.mark.gpu
def test_gpu_rates():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    from labkit.hardware.gpu import measure_gpus

    for rates in measure_gpus():
        assert rates.copy_bytes_per_s > rates.host_to_device_bytes_per_s > 0
        assert rates.matmul_flops_bfloat16 > rates.matmul_flops_float32 > 0


