"""A model as a chain of layers: what each costs, and what crosses the cut behind it.

Any model is a chain once its modules are put in the order of execution: a cut between two of them sends all tensors
that are made before it and needed after it. In a plain network that is one tensor; inside a residual block it is two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from labkit.errors import UsageError
from labkit.training.partition.names import folded, listed

BACKWARD_TO_FORWARD = 2.0  # two products of the backward pass for each one of the forward pass


@dataclass(frozen=True, slots=True)
class Layer:
    """A piece of a model that no stage boundary cuts.

    Attributes
    ----------
    name : str
        Of the module; of several modules that stay together, the first and the last.
    modules : tuple of str or None
        The modules, by their names in the model, in order of execution. None: the name alone. Empty: functions, and
        modules without parameters that run elsewhere too.
    forward_s, backward_s : float
        Of one micro-batch.
    num_parameters, parameter_bytes : int
        Each parameter once.
    stored_bytes : int
        Activations that are kept from the forward to the backward pass, of one micro-batch.
    crossing_bytes : int
        Tensors that a cut behind this layer sends forward, of one micro-batch.
    gradient_bytes : int or None
        What such a cut sends back: gradients of those of them that have any. None: as much as goes forward.
    num_crossing : int
        How many of the tensors that cross have gradients; a residual connection around the cut makes it two.
    """

    name: str
    modules: tuple[str, ...] | None = None
    forward_s: float = 0.0
    backward_s: float = 0.0
    num_parameters: int = 0
    parameter_bytes: int = 0
    stored_bytes: int = 0
    crossing_bytes: int = 0
    gradient_bytes: int | None = None
    num_crossing: int = 1

    def __post_init__(self):
        if self.modules is None:
            object.__setattr__(self, "modules", (self.name,))
        if self.gradient_bytes is None:
            object.__setattr__(self, "gradient_bytes", self.crossing_bytes)
        for what in (
            "forward_s", "backward_s", "num_parameters", "parameter_bytes", "stored_bytes", "crossing_bytes",
            "gradient_bytes", "num_crossing",
        ):
            value = getattr(self, what)
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(
                    f"layer {self.name!r}: {what} is a finite number from 0, not {value!r}: pass such a one."
                )

    @property
    def compute_s(self) -> float:
        """Forward and backward pass of one micro-batch."""
        return self.forward_s + self.backward_s


@dataclass(frozen=True, slots=True)
class SharedParameter:
    """A parameter that several layers use: their numbers in the chain, in order."""

    name: str
    num_parameters: int
    num_bytes: int
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """Layers in order of execution, and the parameters that several of them share.

    Attributes
    ----------
    layers : tuple of Layer
        Names differ.
    shared : tuple of SharedParameter
        Each such parameter counts in all of its layers.
    name : str
        Of the model.

    Examples
    --------
    >>> chain = make_chain(forward_s=[1, 2, 3], parameter_bytes=[10, 20, 30])
    >>> len(chain), chain.layers[1].compute_s, chain.num_bytes
    (3, 6.0, 60)
    """

    layers: tuple[Layer, ...]
    shared: tuple[SharedParameter, ...] = ()
    name: str = "model"

    def __post_init__(self):
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"chain: two layers have the name {twice!r}: give each its own.")
        for parameter in self.shared:
            where = parameter.layers
            if len(where) < 2 or list(where) != sorted(set(where)) or where[0] < 0 or where[-1] >= len(names):
                raise UsageError(
                    f"chain: the shared parameter {parameter.name!r} is used by layers {where}: pass two or more "
                    f"numbers from 0 to {len(names) - 1}, in order."
                )
        for k, layer in enumerate(self.layers):
            some = [p for p in self.shared if k in p.layers]
            for what, part in (("num_parameters", "num_parameters"), ("parameter_bytes", "num_bytes")):
                least = sum(getattr(p, part) for p in some)
                if getattr(layer, what) < least:
                    raise UsageError(
                        f"chain: layer {layer.name!r} has {what}={getattr(layer, what)}, less than the {least} of what "
                        f"it shares ({listed([p.name for p in some])}): shared parameters count in each of their "
                        "layers."
                    )

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        shared = f", {len(self.shared)} shared" if self.shared else ""
        return f"<chain {self.name!r}: {len(self)} layers, {self.num_parameters} parameters{shared}>"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)

    @property
    def num_parameters(self) -> int:
        """Each parameter once."""
        twice = sum(p.num_parameters * (len(p.layers) - 1) for p in self.shared)
        return sum(layer.num_parameters for layer in self.layers) - twice

    @property
    def num_bytes(self) -> int:
        """Of all parameters, each once."""
        return sum(layer.parameter_bytes for layer in self.layers) - sum(
            p.num_bytes * (len(p.layers) - 1) for p in self.shared
        )

    def merged(self, bounds: Sequence[int]) -> Chain:
        """The chain whose layers are the ranges ``bounds[k]`` to ``bounds[k + 1]`` of this one.

        Examples
        --------
        >>> make_chain(forward_s=[1, 2, 3]).merged((0, 2, 3)).names
        ('0 to 1', '2')
        """
        bounds = tuple(bounds)
        if not self.layers or bounds == tuple(range(len(self) + 1)):
            return self
        owner = [k for k, (a, b) in enumerate(zip(bounds, bounds[1:], strict=False)) for _ in range(a, b)]
        layers = [self._range(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
        shared = []
        for parameter in self.shared:
            users = [owner[index] for index in parameter.layers]
            for k in set(users):
                extra = users.count(k) - 1
                layers[k] = replace(
                    layers[k], num_parameters=layers[k].num_parameters - extra * parameter.num_parameters,
                    parameter_bytes=layers[k].parameter_bytes - extra * parameter.num_bytes,
                )
            if len(set(users)) > 1:
                shared.append(replace(parameter, layers=tuple(sorted(set(users)))))
        return Chain(tuple(layers), tuple(shared), self.name)

    def _range(self, start: int, stop: int) -> Layer:
        some = self.layers[start:stop]
        if len(some) == 1:
            return some[0]
        modules = folded([layer.modules for layer in self.layers], start, stop)
        names = modules or [layer.name for layer in some]
        return Layer(
            names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}", modules,
            math.fsum(layer.forward_s for layer in some), math.fsum(layer.backward_s for layer in some),
            sum(layer.num_parameters for layer in some), sum(layer.parameter_bytes for layer in some),
            sum(layer.stored_bytes for layer in some), some[-1].crossing_bytes, some[-1].gradient_bytes,
            some[-1].num_crossing,
        )

    def with_single_crossings(self) -> Chain:
        """Layers merged until no more than one tensor with a gradient crosses any cut: residual blocks stay whole.

        Examples
        --------
        >>> make_chain(forward_s=[1, 2, 3, 4], num_crossing=[1, 2, 1, 1]).with_single_crossings().names
        ('0', '1 to 2', '3')
        """
        cuts = [k for k in range(1, len(self)) if self.layers[k - 1].num_crossing <= 1]
        return self.merged((0, *cuts, len(self)))

    def with_shared_together(self) -> Chain:
        """Layers merged until no parameter is shared by two of them: what lies between goes with them.

        Examples
        --------
        >>> plain = make_chain(forward_s=[1, 2, 3, 4], parameter_bytes=[8, 20, 20, 0])
        >>> replace(plain, shared=(SharedParameter("table", 5, 20, (1, 2)),)).with_shared_together().names
        ('0', '1 to 2', '3')
        """
        inside = {k for p in self.shared for k in range(p.layers[0] + 1, p.layers[-1] + 1)}
        return self.merged((0, *(k for k in range(1, len(self)) if k not in inside), len(self)))


def make_chain(
    *, forward_s: Iterable[float], backward_s: Iterable[float] | None = None,
    parameter_bytes: Iterable[int] | None = None, stored_bytes: Iterable[int] | None = None,
    crossing_bytes: Iterable[int] | None = None, num_crossing: Iterable[int] | None = None,
    names: Iterable[str] | None = None, bytes_per_parameter: int = 4, name: str = "chain",
) -> Chain:
    """A chain from lists of numbers, one a layer.

    Parameters
    ----------
    forward_s, backward_s : iterable of float
        Seconds of a micro-batch; the backward pass takes twice the forward pass by default.
    parameter_bytes, stored_bytes, crossing_bytes, num_crossing : iterable of int, optional
        See :class:`Layer`; 0 by default (1 tensor crosses).
    names : iterable of str, optional
        ``"0"``, ``"1"``, ... by default, as in ``nn.Sequential``.
    bytes_per_parameter : int
    name : str

    Raises
    ------
    UsageError
        Lists of different lengths, or a number below 0.
    """
    forward = [float(t) for t in forward_s]
    backward = [BACKWARD_TO_FORWARD * t for t in forward] if backward_s is None else [float(t) for t in backward_s]
    n = len(forward)
    columns = {
        "backward_s": backward,
        "parameter_bytes": list(parameter_bytes) if parameter_bytes is not None else [0] * n,
        "stored_bytes": list(stored_bytes) if stored_bytes is not None else [0] * n,
        "crossing_bytes": list(crossing_bytes) if crossing_bytes is not None else [0] * n,
        "num_crossing": list(num_crossing) if num_crossing is not None else [1] * n,
        "names": list(names) if names is not None else list(map(str, range(n))),
    }
    for what, values in columns.items():
        if len(values) != n:
            raise UsageError(
                f"make_chain: forward_s has {n} layers but {what} has {len(values)}: pass one number for each layer."
            )
    return Chain(
        tuple(
            Layer(
                columns["names"][k], forward_s=forward[k], backward_s=columns["backward_s"][k],
                num_parameters=columns["parameter_bytes"][k] // bytes_per_parameter,
                parameter_bytes=columns["parameter_bytes"][k], stored_bytes=columns["stored_bytes"][k],
                crossing_bytes=columns["crossing_bytes"][k], num_crossing=columns["num_crossing"][k],
            )
            for k in range(n)
        ),
        name=name,
    )
