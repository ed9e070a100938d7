"""Which GPU a rank gets."""

import pytest

from labkit.cluster.devices import gpu_of, take_gpu


@pytest.mark.parametrize(
    ("visible", "num_devices", "expected"),
    [
        (None, 0, [None] * 3),
        (None, 1, ["0", "0", "0"]),
        (None, 4, ["0", "1", "2"]),
        ("", 4, [None] * 3),
        ("-1", 4, [None] * 3),
        ("2, 5", 8, ["2", "5", "2"]),
        ("3,-1,1", 8, ["3", "3", "3"]),
        ("GPU-a,GPU-b", 8, ["GPU-a", "GPU-b", "GPU-a"]),
    ],
)
def test_devices_are_dealt_out_in_turn(visible, num_devices, expected):
    assert [gpu_of(rank, visible, num_devices) for rank in range(3)] == expected


def test_a_rank_sees_only_its_own(monkeypatch):
    monkeypatch.setattr("labkit.cluster.devices.num_gpus", lambda: 4)
    environment = {"CUDA_VISIBLE_DEVICES": "1,3"}
    assert take_gpu(1, environment) == "3"
    assert environment == {"CUDA_VISIBLE_DEVICES": "3"}
    monkeypatch.setattr("labkit.cluster.devices.num_gpus", lambda: 0)
    environment = {}
    assert take_gpu(1, environment) == "" and environment == {}
