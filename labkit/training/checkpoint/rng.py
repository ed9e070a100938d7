"""The states of random number generators, taken and put back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def random_state(generators: Mapping[str, Any] | None = None) -> dict:
    """The state of all global generators: Python's, NumPy's, torch's on the CPU and on the GPUs in use; and of others.

    Parameters
    ----------
    generators : mapping of str to numpy.random.Generator, torch.Generator or random.Random, optional
        More of them, by name.

    Returns
    -------
    dict
        A tree that a checkpoint can store.

    Examples
    --------
    >>> before = random_state()
    >>> first = random.random(), np.random.rand(), torch.rand(1).item()
    >>> restore_random_state(before)
    >>> first == (random.random(), np.random.rand(), torch.rand(1).item())
    True
    """
    state = {
        "python": _python_state(random), "numpy": _plain(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state(), "named": {},
    }  # fmt: skip
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    for name, generator in (generators or {}).items():
        if isinstance(generator, np.random.Generator):
            state["named"][name] = _plain(generator.bit_generator.state)
        elif isinstance(generator, torch.Generator):
            state["named"][name] = generator.get_state()
        else:
            state["named"][name] = _python_state(generator)
    return state


def restore_random_state(state: dict, generators: Mapping[str, Any] | None = None) -> None:
    """Put back what :func:`random_state` has taken; generators without a state there are left as they are."""
    _set_python_state(random, state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        for device, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(one, device)
    for name, generator in (generators or {}).items():
        if name not in state["named"]:
            continue
        if isinstance(generator, np.random.Generator):
            generator.bit_generator.state = state["named"][name]
        elif isinstance(generator, torch.Generator):
            generator.set_state(state["named"][name])
        else:
            _set_python_state(generator, state["named"][name])


def _python_state(generator) -> dict:
    version, words, gauss = generator.getstate()
    return {"version": version, "words": np.array(words, np.uint32), "gauss": gauss}


def _set_python_state(generator, state: dict) -> None:
    generator.setstate((state["version"], tuple(map(int, state["words"])), state["gauss"]))


def _plain(state: Any) -> Any:
    """NumPy's state with Python's numbers: some are as wide as 128 bits."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.item() if isinstance(state, np.generic) else state
