"""The magics: ``%load_ext labkit`` adds ``%%mpi``, ``%mpi_push``, ``%mpi_pull``, ``%mpi_stop``, ``%cluster`` and
``%%openmp``."""

import os
import sys


def load_ipython_extension(ipython) -> None:
    """Add the magics to an IPython shell."""
    from labkit.magics.cluster import ClusterMagics
    from labkit.magics.mpi import MPIMagics
    from labkit.magics.openmp import OpenmpMagics

    mpi = MPIMagics(ipython)
    ipython.register_magics(mpi)
    ipython.register_magics(ClusterMagics(ipython, mpi))
    ipython.register_magics(OpenmpMagics)
    _let_lab_draw_figures()


def _let_lab_draw_figures() -> None:
    """Have plotly send figures as data, which Lab's extension draws, and not with 5 MB of JavaScript."""
    os.environ.setdefault("PLOTLY_RENDERER", "plotly_mimetype")
    if "plotly.io" in sys.modules:
        sys.modules["plotly.io"].renderers.default = os.environ["PLOTLY_RENDERER"]
