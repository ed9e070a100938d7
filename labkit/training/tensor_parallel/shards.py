"""Which part of a parameter, and which rows of the tokens, a rank has; parts put together, and cut again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.mpi.collectives.arguments import block_ends


@dataclass(frozen=True, slots=True)
class Shard:
    """How a parameter is divided: rank r has the places ``ends[r]`` to ``ends[r + 1] - 1`` of one axis.

    Examples
    --------
    >>> shard = Shard(0, (0, 2, 3))
    >>> parts = [shard.part(torch.tensor([5, 6, 7]), rank) for rank in range(2)]
    >>> [part.tolist() for part in parts], shard.whole(parts).tolist()
    ([[5, 6], [7]], [5, 6, 7])
    """

    axis: int
    ends: tuple[int, ...]

    def part(self, whole: torch.Tensor, rank: int) -> torch.Tensor:
        """A view of the rank's part."""
        return whole.narrow(self.axis, self.ends[rank], self.ends[rank + 1] - self.ends[rank])

    def whole(self, parts) -> torch.Tensor:
        """From the parts of all ranks, in their order."""
        return torch.cat(list(parts), self.axis)

    def full_shape(self, shape) -> tuple[int, ...]:
        """Of the whole parameter, from that of a part."""
        return (*shape[: self.axis], self.ends[-1], *shape[self.axis + 1 :])


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of the tokens' matrix (N * length, width) each rank has, with sequence parallelism.

    Megatron lays activations out as (length, N, width) and divides the first axis. Here samples come first, and the
    rows of the flat matrix are divided: as many bytes, any number of rows, and nothing has to be transposed.

    Attributes
    ----------
    num_samples, length : int
    ends : tuple of int
    rank : int
    """

    num_samples: int
    length: int
    ends: tuple[int, ...]
    rank: int

    @classmethod
    def of(cls, num_samples: int, length: int, size: int, rank: int) -> Rows:
        """As equal as possible."""
        return cls(num_samples, length, tuple(block_ends(num_samples * length, size)), rank)

    @property
    def start(self) -> int:
        return self.ends[self.rank]

    @property
    def stop(self) -> int:
        return self.ends[self.rank + 1]


def head_ends(width: int, num_heads: int, num_ranks: int) -> tuple[int, ...]:
    """Where the ranks' columns of queries, keys and values end: whole heads, as many on every rank.

    Raises
    ------
    UsageError
        The heads cannot be shared out.

    Examples
    --------
    >>> head_ends(64, 4, 2)
    (0, 32, 64)
    """
    if num_heads % num_ranks:
        fits = [p for p in range(1, num_heads + 1) if num_heads % p == 0]
        raise UsageError(
            f"tensor parallelism gives every rank as many heads: {num_heads} heads on {num_ranks} ranks would be "
            f"{num_heads / num_ranks:.3g} each. Use {_words(fits)} ranks, or a model whose num_heads is a multiple of "
            f"{num_ranks}."
        )
    return tuple(width // num_ranks * rank for rank in range(num_ranks + 1))


def even_ends(what: str, num: int, num_ranks: int) -> tuple[int, ...]:
    """Where ranks' parts end that are as equal as possible; the first ranks have one more if need be.

    Raises
    ------
    UsageError
        A rank would have nothing.
    """
    if num < num_ranks:
        raise UsageError(
            f"{what}: {num} cannot be shared out to {num_ranks} ranks: each needs 1 or more. Use {num} ranks or fewer, "
            "or a wider layer."
        )
    return tuple(block_ends(num, num_ranks))


def find_shards(model: nn.Module) -> dict[str, Shard]:
    """How each divided parameter of a model is divided, by its name."""
    found = {}
    for prefix, layer in model.named_modules(remove_duplicate=False):
        for name, shard in getattr(layer, "shards", {}).items():
            found[f"{prefix}.{name}" if prefix else name] = shard
    return found


def find_partial(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that all ranks have whole, each with the gradient of its own rows: it must be added up."""
    found = {}
    for layer in model.modules():
        for name in getattr(layer, "partial", ()):
            parameter = getattr(layer, name)
            if parameter is not None and parameter.requires_grad:
                found[id(parameter)] = parameter
    return list(found.values())


def whole_tensor(group, tensor: torch.Tensor, shard: Shard | None) -> torch.Tensor:
    """The whole of a tensor of which each rank has its part, on every rank: a copy. Collective."""
    own = tensor.detach().clone()
    if shard is None or group.size == 1:
        return own
    return shard.whole(part.to(own.device) for part in group.comm.allgather(own.cpu()))


def whole_state(model: nn.Module, group) -> dict[str, torch.Tensor]:
    """The ``state_dict`` that one process has, on every rank. Collective."""
    shards = find_shards(model)
    return {name: whole_tensor(group, tensor, shards.get(name)) for name, tensor in model.state_dict().items()}


def whole_gradients(model: nn.Module, group) -> dict[str, torch.Tensor]:
    """The gradients of all trained parameters, whole, on every rank. Collective."""
    shards = find_shards(model)
    return {
        name: whole_tensor(group, torch.zeros_like(p) if p.grad is None else p.grad, shards.get(name))
        for name, p in model.named_parameters() if p.requires_grad
    }


def load_whole(model: nn.Module, group, state: dict[str, torch.Tensor]) -> None:
    """Take this rank's parts out of the ``state_dict`` of one process.

    Raises
    ------
    UsageError
        Names or shapes are not those of this model.
    """
    shards, own = find_shards(model), model.state_dict()
    if own.keys() != state.keys():
        missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        raise UsageError(
            f"the state is that of another model: it lacks {_words(missing) or 'nothing'} and has "
            f"{_words(extra) or 'nothing'} besides. Load the state of a model with the same sizes."
        )
    for name, tensor in own.items():
        shape = shards[name].full_shape(tensor.shape) if name in shards else tuple(tensor.shape)
        if tuple(state[name].shape) != shape:
            raise UsageError(
                f"the state's {name} has the shape {tuple(state[name].shape)}, the model's {shape}: load the state of "
                "a model with the same sizes."
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(shards[name].part(state[name], group.rank) if name in shards else state[name])


def _words(items) -> str:
    items = [str(item) for item in items]
    return ", ".join(items[:6]) + (", ..." if len(items) > 6 else "")
