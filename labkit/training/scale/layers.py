"""Layers with their parameters and their work, counted from shapes.

A :class:`LayerTable` follows a picture through a network: it knows channels, height and width, and every layer that
is added becomes a line with its number of parameters and of multiplications. Nothing is computed with.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with parameters.

    Attributes
    ----------
    name : str
    num_parameters : int
        Weights, biases, and scale and shift of the batch norm behind it.
    num_multiplications : int
        Multiply-adds of the forward pass for one sample; the backward pass has twice as many.
    """

    name: str
    num_parameters: int
    num_multiplications: int


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model as a list of layers in the order of the forward pass.

    Attributes
    ----------
    name : str
    layers : tuple of Layer
    source : str
    """

    name: str
    layers: tuple[Layer, ...]
    source: str = ""

    @property
    def num_parameters(self) -> int:
        return sum(layer.num_parameters for layer in self.layers)

    @property
    def num_multiplications(self) -> int:
        """Of the forward pass, for one sample."""
        return sum(layer.num_multiplications for layer in self.layers)


class LayerTable:
    """A picture on its way through a network.

    Examples
    --------
    >>> table = LayerTable(3, 224)
    >>> table.convolution("conv1", 64, 7, stride=2, padding=3)
    >>> table.layers[0], table.shape
    (Layer(name='conv1', num_parameters=9536, num_multiplications=118013952), (64, 112, 112))
    """

    def __init__(self, channels: int, side: int):
        self.shape = (channels, side, side)
        self.layers: list[Layer] = []

    def convolution(self, name, channels, kernel, *, stride=1, padding=0, norm: bool = True) -> None:
        """A convolution; with batch norm it has no bias, as is usual."""
        size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        pad = padding if isinstance(padding, tuple) else (padding, padding)
        into, *sides = self.shape
        sides = [(side + 2 * p - k) // stride + 1 for side, k, p in zip(sides, size, pad, strict=True)]
        if min(sides) < 1:
            raise UsageError(f"{name}: a kernel of {size} does not fit into a picture of {self.shape[1:]}.")
        weights = into * channels * size[0] * size[1]
        self.shape = (channels, *sides)
        self.layers.append(Layer(name, weights + (2 if norm else 1) * channels, weights * sides[0] * sides[1]))

    def pool(self, kernel, *, stride, padding=0) -> None:
        channels, *sides = self.shape
        self.shape = (channels, *((side + 2 * padding - kernel) // stride + 1 for side in sides))

    def pool_to(self, side: int) -> None:
        """Adaptive average pooling to a square of this side."""
        self.shape = (self.shape[0], side, side)

    def linear(self, name, num_outputs: int) -> None:
        """A fully connected layer over all that is there."""
        channels, height, width = self.shape
        weights = channels * height * width * num_outputs
        self.shape = (num_outputs, 1, 1)
        self.layers.append(Layer(name, weights + num_outputs, weights))

    def branches(self, *branches) -> None:
        """Functions that each go on from here; their channels are put together."""
        start, channels = self.shape, 0
        for branch in branches:
            self.shape = start
            branch()
            channels += self.shape[0]
        self.shape = (channels, *self.shape[1:])
