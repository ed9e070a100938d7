"""Other sizes and data."""

import runpy
from pathlib import Path

import numpy as np

case = runpy.run_path(str(Path(__file__).with_name("exercise.py")))["case"]


def cases():
    return [
        case(2, 2, data_seed=1),
        case(3, 4, data_seed=2, unsafe_sends=True),
        case(4, 7, data_seed=3, seed=6),
        case(6, 1, data_seed=4, unsafe_sends=True),
        case(7, 3, data_seed=5),
        case(8, 2, data_seed=6, dtype=np.float64),
        case(9, 11, data_seed=7, seed=7),
    ]
