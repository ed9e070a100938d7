"""Other sizes and data."""

import runpy
from pathlib import Path

import numpy as np

case = runpy.run_path(str(Path(__file__).with_name("exercise.py")))["case"]


def cases():
    return [
        case(2, 2, data_seed=1),
        case(3, 4, data_seed=2, unsafe_sends=True),
        case(5, 50, data_seed=3, dtype=np.float64),
        case(6, 1, data_seed=4, unsafe_sends=True),
        case(7, 3, data_seed=5, seed=6),
        case(8, 11, data_seed=6),
        case(9, 2, data_seed=7, unsafe_sends=True, seed=7),
    ]
