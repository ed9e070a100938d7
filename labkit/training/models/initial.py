"""First values of parameters that depend on the parameter's name, its shape and the seed, and on nothing else.

Usual initialisation draws from one stream of random numbers, so a parameter's values depend on all that was made
before it. A rank that holds some layers only, or a part of a matrix, could not make them. Here each parameter
has a stream of its own.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import nn

EMBEDDING_STD = 0.02


def stream(name: str, seed: int) -> np.random.Generator:
    """The random numbers of a parameter.

    Examples
    --------
    >>> bool(stream("layers.0.weight", 1).random() == stream("layers.0.weight", 1).random())
    True
    >>> bool(stream("layers.0.weight", 1).random() == stream("layers.0.weight", 2).random())
    False
    """
    key = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))


def uniform(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Weights (outputs, inputs, ...), uniform within 1 / sqrt(number of inputs): outputs keep the scale of inputs."""
    bound = 1 / math.sqrt(max(1, math.prod(shape[1:])))
    values = stream(name, seed).random(shape, np.float32)
    return torch.from_numpy(values * np.float32(2 * bound) - np.float32(bound))


def normal(name: str, shape: tuple[int, ...], seed: int, std: float = EMBEDDING_STD) -> torch.Tensor:
    """Embeddings: normal with a small standard deviation."""
    return torch.from_numpy(stream(name, seed).standard_normal(shape, np.float32) * np.float32(std))


def initialise(model: nn.Module, seed: int) -> nn.Module:
    """Give all parameters of a model their first values, and return it.

    Weights with two or more dimensions get :func:`uniform` values, those of embeddings :func:`normal` ones; biases
    get 0 and the factors of normalisations 1. Parameters that several modules share go by their first name.

    Examples
    --------
    >>> one, two = initialise(nn.Linear(3, 2), seed=1), initialise(nn.Linear(3, 2), seed=1)
    >>> bool((one.weight == two.weight).all()), one.bias.tolist()
    (True, [0.0, 0.0])
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.is_meta:  # one without memory: ranks make their parts of it
                parameter.copy_(first_values(name, tuple(parameter.shape), seed, is_table=id(parameter) in tables))
    return model


def first_values(name: str, shape: tuple[int, ...], seed: int, *, is_table: bool = False) -> torch.Tensor:
    """What :func:`initialise` gives a parameter of this name and shape; ``is_table``: the weight of an embedding.

    Examples
    --------
    >>> torch.equal(first_values("weight", (2, 3), 1), initialise(nn.Linear(3, 2), seed=1).weight)
    True
    """
    if is_table or name.endswith("positions"):
        return normal(name, shape, seed)
    if len(shape) >= 2:
        return uniform(name, shape, seed)
    return torch.full(shape, 1.0 if name.endswith("weight") else 0.0)
