"""labkit: learn parallel computing and distributed machine learning on real hardware."""

__version__ = "0.1.0"


def load_ipython_extension(ipython) -> None:
    """``%load_ext labkit``: add the magics."""
    from labkit.magics import load_ipython_extension as load

    load(ipython)
