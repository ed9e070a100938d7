"""What an elastic run trains. Workers are processes of their own, so it is said by name."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.errors import UsageError


@dataclass(frozen=True)
class Job:
    """A function that makes model, data and options in each worker.

    Attributes
    ----------
    make : str
        ``module:function`` or ``/path/to/file.py:function``. It returns ``(model, data, options)``, equal in all workers.
    arguments : dict
        Of the function; numbers, words, lists and dicts.
    strategy : str

    Examples
    --------
    >>> job = Job(arguments={"num_steps": 30, "hidden": [16]})
    >>> model, data, options = job.build()
    >>> len(data), options.num_steps
    (1438, 30)
    """

    make: str = "labkit.training.elastic.job:digits"
    arguments: dict[str, Any] = field(default_factory=dict)
    strategy: str = "flat"

    def build(self):
        """Call the function.

        Raises
        ------
        UsageError
            There is no such function, or it returns something else.
        """
        where, _, name = self.make.rpartition(":")
        try:
            if where.endswith(".py"):
                spec = importlib.util.spec_from_file_location(Path(where).stem, where)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
            else:
                module = importlib.import_module(where)
            function = getattr(module, name)
        except (ImportError, AttributeError, ValueError, OSError) as error:
            raise UsageError(f"the job {self.make!r} cannot be found ({error}): say module:function or file.py:function.") from None
        made = function(**self.arguments)
        if not isinstance(made, tuple) or len(made) != 3:
            raise UsageError(f"the job {self.make!r} returned a {type(made).__name__}; it returns (model, data, options).")
        return made


def digits(
    num_steps: int = 200, batch_size: int = 128, learning_rate: float = 0.1, hidden=(64,), seed: int = 0,
    optimizer: str = "sgd", dropout: float = 0.0,
):
    """Handwritten digits and a small MLP."""
    from torch import nn

    from labkit.training.data import load_digits
    from labkit.training.models.registry import make_model
    from labkit.training.options import TrainingOptions

    data = load_digits()
    model = make_model("mlp", data, seed=seed, hidden=tuple(hidden))
    if dropout:
        model = nn.Sequential(model, nn.Dropout(dropout))
    options = TrainingOptions(
        num_steps=num_steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed, optimizer=optimizer
    )
    return model, data, options
