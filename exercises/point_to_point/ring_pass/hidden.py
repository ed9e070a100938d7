"""More cases: other ranks, sizes and seeds."""

import runpy
from pathlib import Path

ring_case = runpy.run_path(str(Path(__file__).with_name("exercise.py")))["ring_case"]


def cases():
    return [
        ring_case(2, 2, "float64", data_seed=7, seed=11), ring_case(3, 13, "int32", data_seed=7),
        ring_case(5, 4, data_seed=7, unsafe_sends=True, seed=5), ring_case(11, 3, "float64", data_seed=7, seed=3),
    ]
