"""Sets of MPI engines: on this machine, in a job of a batch system, over SSH."""

from labkit.cluster.engines.base import Engines, Rank
from labkit.cluster.engines.local import LocalEngines, check_num_ranks

__all__ = ["Engines", "LocalEngines", "Rank", "check_num_ranks"]
