"""Roofline and machine pictures."""

import pytest

from labkit.hardware.roofline import KERNELS, Roofline
from labkit.hardware.topology import Cache, Gpu, Topology
from labkit.views.machine import machine_figure, machine_layout
from labkit.views.roofline import explanation, point_trace, roofline_figure, roofline_layout

ROOF = Roofline(100e9, 200e9, (("L1", 400e9), ("DRAM", 20e9)))


def topology(sockets, cores, threads_per_core=1, gpus=()):
    threads = sockets * cores * threads_per_core
    caches = (
        Cache(1, "Data", 32768, threads_per_core, sockets * cores),
        Cache(1, "Instruction", 32768, threads_per_core, sockets * cores),
        Cache(3, "Unified", 2**25, max(2, cores * threads_per_core), sockets),
    )
    return Topology("A model", sockets, sockets * cores, threads, threads, sockets, "AVX2", caches, 2**34, 2**33, gpus)


def test_roofs_bend_at_their_ridge():
    layout = roofline_layout(ROOF)
    roofs = {name: (xs, ys) for name, xs, ys in layout.roofs}
    assert roofs["DRAM"][0][1] == 5.0 and roofs["DRAM"][1][1:] == (100e9, 100e9)
    assert roofs["L1"][0][1] == 0.25
    assert layout.ridge_point == 5.0
    triad = next(y for kernel, y in layout.kernels if kernel.name == "triad")
    assert triad == pytest.approx(20e9 / 12)
    assert len(roofline_figure(ROOF).data) == 4


@pytest.mark.parametrize(("intensity", "word", "flops"), [(1.0, "memory", 20e9), (4.99, "memory", 99.8e9), (5.0, "processor", 100e9)])
def test_the_sentence_changes_at_the_ridge(intensity, word, flops):
    assert f"Bound by {'the ' if word == 'processor' else ''}{word}" in explanation(ROOF, intensity)
    assert point_trace(ROOF, intensity).y[0] == pytest.approx(flops)


def test_kernels_have_their_textbook_intensities():
    intensity = {kernel.name: kernel.intensity for kernel in KERNELS}
    assert intensity["triad"] == pytest.approx(1 / 12)
    assert intensity["dot product"] == 1 / 8
    assert intensity["matrix product n=1024"] == pytest.approx(2 * 1024 / 24)


@pytest.mark.parametrize(("sockets", "cores", "threads"), [(1, 1, 1), (1, 2, 1), (2, 4, 2), (2, 64, 2)])
def test_every_core_has_its_box_and_none_overlaps(sockets, cores, threads):
    boxes = machine_layout(topology(sockets, cores, threads, (Gpu("GPU", 2**36),)))
    core_boxes = [box for box in boxes if box.kind == "core"]
    assert len(core_boxes) == sockets * cores
    for a in core_boxes:
        for b in core_boxes:
            apart = a.x1 <= b.x0 + 1e-9 or b.x1 <= a.x0 + 1e-9 or a.y1 <= b.y0 or b.y1 <= a.y0
            assert a is b or apart
    for core in core_boxes:
        assert any(s.x0 <= core.x0 and core.x1 <= s.x1 and s.y0 <= core.y0 and core.y1 <= s.y1
                   for s in boxes if s.kind == "socket")
    assert sum(box.kind == "gpu" for box in boxes) == 1
    assert len(machine_figure(topology(sockets, cores, threads)).layout.shapes) == len(boxes) - 1
