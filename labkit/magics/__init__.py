"""The magics: ``%load_ext labkit`` adds ``%%mpi``, ``%mpi_push``, ``%mpi_pull`` and ``%mpi_stop``."""


def load_ipython_extension(ipython) -> None:
    """Add the magics to an IPython shell."""
    from labkit.magics.mpi import MPIMagics

    ipython.register_magics(MPIMagics(ipython))
