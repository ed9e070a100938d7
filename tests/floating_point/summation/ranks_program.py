"""Run under mpiexec: every rank sums its share of an array that all know, and writes the bits of both results."""

import json
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

from labkit.floating_point.summation.reproducible import allreduce_sum_exact, allreduce_sum_reproducible
from labkit.openmp.team import Team

comm = MPI.COMM_WORLD
x = np.ldexp(np.random.default_rng(1).standard_normal(20_000), np.arange(20_000) % 300 - 150)
mine = np.random.default_rng(comm.size).permutation(x)[comm.rank :: comm.size]
results = [allreduce_sum_exact(comm, mine), allreduce_sum_reproducible(comm, mine, team=Team(2))]
Path(f"{sys.argv[1]}{comm.rank}").write_text(json.dumps([value.hex() for value in results]))
