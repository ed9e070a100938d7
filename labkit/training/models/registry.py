"""Models by name, with sizes that fit a data set."""

from __future__ import annotations

import math

from torch import nn

from labkit.errors import UsageError
from labkit.training.data import DataSet
from labkit.training.models.cnn import CNN
from labkit.training.models.mlp import MLP
from labkit.training.models.transformer import Transformer

MODELS = ("mlp", "cnn", "transformer")


def make_model(name: str, data: DataSet, *, seed: int = 0, **sizes) -> nn.Module:
    """A model that fits the data.

    Parameters
    ----------
    name : str
        ``"mlp"`` (``hidden``: a tuple of sizes), ``"cnn"`` (``channels``, ``batch_norm``) or ``"transformer"``
        (``width``, ``num_heads``, ``num_blocks``).
    data : DataSet
    seed : int

    Raises
    ------
    UsageError
        No such model, or one that does not fit: a transformer needs tokens, the others pictures.

    Examples
    --------
    >>> from labkit.training.data import load_digits
    >>> sum(parameter.numel() for parameter in make_model("mlp", load_digits(), hidden=(32,)).parameters())
    2410
    """
    shape = tuple(data.inputs.shape[1:])
    if name not in MODELS:
        raise UsageError(f"there is no model {name!r}: the models are {', '.join(MODELS)}.")
    if (name == "transformer") != (data.num_tokens > 0):
        fits = "transformer" if data.num_tokens else "mlp or cnn"
        raise UsageError(f"the model {name!r} does not fit the data {data.name!r}, whose samples are {shape}: take {fits}.")
    if name == "mlp":
        return MLP((math.prod(shape), *sizes.pop("hidden", (128,)), data.num_classes), seed=seed, **sizes)
    if name == "cnn":
        return CNN(data.num_classes, in_channels=shape[0], seed=seed, **sizes)
    num_classes = None if data.targets.dim() == 2 else data.num_classes
    return Transformer(data.num_tokens, shape[0], num_classes, seed=seed, **sizes)
