"""Published networks as layer tables: ResNet, VGG-16, Inception V3. The totals are theirs because the shapes are.

References
----------
He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv 1512.03385), table 1.
Simonyan, Zisserman: Very Deep Convolutional Networks, ICLR 2015 (arXiv 1409.1556), table 1, column D.
Szegedy et al.: Rethinking the Inception Architecture, CVPR 2016 (arXiv 1512.00567), table 1; widths as in the authors'
published code.
"""

from __future__ import annotations

import functools

from labkit.errors import UsageError
from labkit.training.scale.layers import Architecture, LayerTable

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(depth: int) -> Architecture:
    """ResNet of bottleneck blocks, for pictures of 224 x 224 and 1000 classes; the stride is in the 3 x 3 convolution.

    Examples
    --------
    >>> resnet(50).num_parameters, resnet(101).num_parameters
    (25557032, 44549160)
    """
    if depth not in BLOCKS:
        raise UsageError(f"resnet({depth}): the depths with bottleneck blocks are {', '.join(map(str, BLOCKS))}.")
    table = LayerTable(3, 224)
    table.convolution("conv1", 64, 7, stride=2, padding=3)
    table.pool(3, stride=2, padding=1)
    for stage, num_blocks in enumerate(BLOCKS[depth]):
        for block in range(num_blocks):
            _bottleneck(table, f"conv{stage + 2}_{block + 1}", 64 << stage, 2 if stage and not block else 1, not block)
    table.pool_to(1)
    table.linear("fc", 1000)
    return Architecture(f"ResNet-{depth}", tuple(table.layers), "arXiv 1512.03385")


def _bottleneck(table: LayerTable, name: str, width: int, stride: int, has_projection: bool) -> None:
    start = table.shape
    table.convolution(f"{name}.1x1", width, 1)
    table.convolution(f"{name}.3x3", width, 3, stride=stride, padding=1)
    table.convolution(f"{name}.expand", 4 * width, 1)
    if has_projection:
        table.shape = start
        table.convolution(f"{name}.project", 4 * width, 1, stride=stride)


def vgg16() -> Architecture:
    """VGG-16: thirteen convolutions and three fully connected layers, in which nine tenths of the parameters are.

    Examples
    --------
    >>> vgg16().num_parameters
    138357544
    """
    table = LayerTable(3, 224)
    for block, (channels, num_convolutions) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        for number in range(num_convolutions):
            table.convolution(f"conv{block + 1}_{number + 1}", channels, 3, padding=1, norm=False)
        table.pool(2, stride=2)
    for name, width in (("fc6", 4096), ("fc7", 4096), ("fc8", 1000)):
        table.linear(name, width)
    return Architecture("VGG-16", tuple(table.layers), "arXiv 1409.1556")


def inception_v3(*, with_auxiliary: bool = False) -> Architecture:
    """Inception V3, for pictures of 299 x 299; ``with_auxiliary``: with the second classifier of the training.

    Examples
    --------
    >>> inception_v3().num_parameters, inception_v3(with_auxiliary=True).num_parameters
    (23834568, 27161264)
    """
    table = LayerTable(3, 299)
    table.convolution("stem.1", 32, 3, stride=2)
    table.convolution("stem.2", 32, 3)
    table.convolution("stem.3", 64, 3, padding=1)
    table.pool(3, stride=2)
    table.convolution("stem.4", 80, 1)
    table.convolution("stem.5", 192, 3)
    table.pool(3, stride=2)
    for number, pooled in enumerate((32, 64, 64)):
        _inception_a(table, f"a{number + 1}", pooled)
    _reduction(table, "reduce1", ((384, 3, 2, 0),), ((64, 1, 1, 0), (96, 3, 1, 1), (96, 3, 2, 0)))
    for number, width in enumerate((128, 160, 160, 192)):
        _inception_b(table, f"b{number + 1}", width)
    if with_auxiliary:
        start = table.shape
        table.pool(5, stride=3)
        table.convolution("auxiliary.1", 128, 1)
        table.convolution("auxiliary.2", 768, 5)
        table.linear("auxiliary.fc", 1000)
        table.shape = start
    across, down = (1, 7), (7, 1)
    _reduction(table, "reduce2", ((192, 1, 1, 0), (320, 3, 2, 0)),
               ((192, 1, 1, 0), (192, across, 1, (0, 3)), (192, down, 1, (3, 0)), (192, 3, 2, 0)))
    for number in range(2):
        _inception_c(table, f"c{number + 1}")
    table.pool_to(1)
    table.linear("fc", 1000)
    return Architecture("Inception V3", tuple(table.layers), "arXiv 1512.00567")


def _chain(table: LayerTable, name: str, steps):
    """A branch of convolutions: (channels, kernel, stride, padding) of each."""
    def run():
        for number, (channels, kernel, stride, padding) in enumerate(steps):
            table.convolution(f"{name}.{number + 1}", channels, kernel, stride=stride, padding=padding)
    return run


def _inception_a(table: LayerTable, name: str, pooled: int) -> None:
    table.branches(
        _chain(table, f"{name}.1x1", ((64, 1, 1, 0),)),
        _chain(table, f"{name}.5x5", ((48, 1, 1, 0), (64, 5, 1, 2))),
        _chain(table, f"{name}.3x3", ((64, 1, 1, 0), (96, 3, 1, 1), (96, 3, 1, 1))),
        _chain(table, f"{name}.pool", ((pooled, 1, 1, 0),)),
    )


def _inception_b(table: LayerTable, name: str, width: int) -> None:
    across, down = (1, 7), (7, 1)
    table.branches(
        _chain(table, f"{name}.1x1", ((192, 1, 1, 0),)),
        _chain(table, f"{name}.7x7", ((width, 1, 1, 0), (width, across, 1, (0, 3)), (192, down, 1, (3, 0)))),
        _chain(table, f"{name}.twice", (
            (width, 1, 1, 0), (width, down, 1, (3, 0)), (width, across, 1, (0, 3)), (width, down, 1, (3, 0)),
            (192, across, 1, (0, 3)))),
        _chain(table, f"{name}.pool", ((192, 1, 1, 0),)),
    )


def _inception_c(table: LayerTable, name: str) -> None:
    def fork(branch: str, steps):
        def run():
            _chain(table, branch, steps)()
            table.branches(
                _chain(table, f"{branch}.across", ((384, (1, 3), 1, (0, 1)),)),
                _chain(table, f"{branch}.down", ((384, (3, 1), 1, (1, 0)),)),
            )
        return run

    table.branches(
        _chain(table, f"{name}.1x1", ((320, 1, 1, 0),)), fork(f"{name}.3x3", ((384, 1, 1, 0),)),
        fork(f"{name}.twice", ((448, 1, 1, 0), (384, 3, 1, 1))), _chain(table, f"{name}.pool", ((192, 1, 1, 0),)),
    )


def _reduction(table: LayerTable, name: str, first, second) -> None:
    """Two branches of convolutions with stride 2, and a pooling."""
    table.branches(
        _chain(table, f"{name}.1", first), _chain(table, f"{name}.2", second), lambda: table.pool(3, stride=2)
    )


ARCHITECTURES = {
    "resnet50": lambda: resnet(50), "resnet101": lambda: resnet(101), "resnet152": lambda: resnet(152),
    "vgg16": vgg16, "inception_v3": inception_v3,
}


@functools.cache
def find_architecture(name: str) -> Architecture:
    """An architecture by its name.

    Raises
    ------
    UsageError
        There is none of that name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"there is no architecture {name!r}; the known ones are {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[name]()
