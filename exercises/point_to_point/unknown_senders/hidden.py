"""More cases: other letters and seeds."""

import runpy
from pathlib import Path

letters_case = runpy.run_path(str(Path(__file__).with_name("exercise.py")))["letters_case"]


def cases():
    return [
        letters_case(2, 8, data_seed=5, seed=21), letters_case(3, 15, data_seed=5, seed=22, unsafe_sends=True),
        letters_case(5, 25, data_seed=5, seed=23), letters_case(10, 30, data_seed=5, seed=24, unsafe_sends=True),
    ]
