"""A model as a tree of modules, each with its sizes and times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from labkit.errors import UsageError


@dataclass(frozen=True)
class ModuleTree:
    """A module and all that is inside it.

    Attributes
    ----------
    name : str
        Its name in the model; "" for the model itself.
    kind : str
        Its class.
    num_parameters, parameter_bytes : int
        Each parameter once.
    output_bytes : int
        What it gives, of one micro-batch.
    stored_bytes : int
        Activations that are kept for the backward pass.
    forward_s, backward_s : float
        Of all its calls: of the leaves inside, each with the functions behind it.
    num_calls : int
        Of leaves inside.
    shared : tuple of str
        Parameters of it that other modules use as well.
    children : tuple of ModuleTree

    Examples
    --------
    >>> leaf = ModuleTree("0", "Linear", 12, 48, 16, 16, 1e-3, 2e-3, 1)
    >>> ModuleTree("", "Sequential", 12, 48, 16, 16, 1e-3, 2e-3, 1, children=(leaf,)).find("0").kind
    'Linear'
    """

    name: str
    kind: str
    num_parameters: int
    parameter_bytes: int
    output_bytes: int
    stored_bytes: int
    forward_s: float
    backward_s: float
    num_calls: int
    shared: tuple[str, ...] = ()
    children: tuple[ModuleTree, ...] = field(default=(), repr=False)

    @property
    def compute_s(self) -> float:
        return self.forward_s + self.backward_s

    def walk(self) -> Iterator[ModuleTree]:
        """This module and all inside it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, name: str) -> ModuleTree:
        """The module of that name."""
        for node in self.walk():
            if node.name == name:
                return node
        raise UsageError(
            f"module tree: there is no module {name!r}: it has {', '.join(repr(n.name) for n in self.walk())}."
        )

    def text(self) -> str:
        """A line a module, indented."""
        lines = []
        for node in self.walk():
            depth = node.name.count(".") + 1 if node.name else 0
            label = node.name.rpartition(".")[2] or node.kind
            kind = f" {node.kind}" if node.name else ""
            lines.append(
                f"{'  ' * depth}{label}{kind}: {node.num_parameters:,} parameters, {node.output_bytes:,} bytes out, "
                f"{1e3 * node.forward_s:.3g} + {1e3 * node.backward_s:.3g} ms"
                + (f", shares {', '.join(node.shared)}" if node.shared and not node.children else "")
            )
        return "\n".join(lines)
