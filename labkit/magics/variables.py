"""Variables that travel between the notebook and the ranks."""

from __future__ import annotations

import pickle

from labkit.errors import UsageError


def check_picklable(name: str, value) -> None:
    """Raise UsageError if a variable of the notebook cannot be sent to the ranks."""
    if hasattr(value, "__array_interface__"):
        return
    try:
        pickle.dumps(value)
    except Exception as error:
        raise UsageError(
            f"%mpi_push: {name} is a {type(value).__name__}, which cannot travel to another "
            f"process ({error}); define it in a %%mpi cell instead."
        ) from None


def pull(names: list[str]) -> list | str:
    """Runs on a rank: the values, or what is wrong in words."""
    from IPython import get_ipython

    namespace = get_ipython().user_ns
    for name in names:
        if name not in namespace:
            return f"has no variable {name!r}."
        try:
            pickle.dumps(namespace[name])
        except Exception as error:
            return f"cannot send {name}, a {type(namespace[name]).__name__}: {error}"
    return [namespace[name] for name in names]
