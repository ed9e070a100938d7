"""More cases: other networks and other noise."""

import runpy
from pathlib import Path

fit_case = runpy.run_path(str(Path(__file__).with_name("exercise.py")))["fit_case"]


def cases():
    return [
        fit_case("6 sizes with 15 % noise", [0, 3, 700, 11_000, 130_000, 1_700_000], 4e-6, 3e-10, 0.15, data_seed=1),
        fit_case("4 sizes of int32 with 8 % noise", [64, 10**4, 10**6, 10**9], 7e-6, 9e-10, 0.08, "int32", data_seed=2),
    ]
