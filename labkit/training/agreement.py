"""Ranks agree on what they start with: the same model, data and options; or all of them raise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import nn

from labkit.errors import LabkitError, UsageError


def all_or_none(comm, call: Callable):
    """Return ``call()``; if it raises on any rank, all ranks raise. Collective.

    Raises
    ------
    LabkitError
        The rank's own error there; elsewhere one of the same class that names the rank.
    """
    result = error = None
    try:
        result = call()
    except Exception as problem:
        error = problem
    errors = comm.allgather(None if error is None else (type(error).__name__, str(error), isinstance(error, UsageError)))
    if error is not None:
        raise error
    for rank, problem in enumerate(errors):
        if problem is not None:
            kind, words, is_usage = problem
            raise (UsageError if is_usage else LabkitError)(f"rank {rank} raised {kind}: {words}")
    return result


def check_equal(comm, what: str, value: str, advice: str) -> None:
    """The ranks have equal texts. Collective.

    Raises
    ------
    UsageError
        On all ranks.
    """
    values = comm.allgather(value)
    other = next((rank for rank, theirs in enumerate(values) if theirs != values[0]), None)
    if other is not None:
        raise UsageError(f"{what} differ between ranks 0 and {other}: {values[0]} and {values[other]}. {advice}")


def check_models(comm, model: nn.Module) -> None:
    """All ranks have the same parameters and buffers: names, shapes, types, values, frozen or not. Collective.

    Raises
    ------
    UsageError
        On all ranks, with the first difference.
    """
    mine = describe(model)
    digest = hashlib.sha256(repr(mine).encode()).hexdigest()
    if len(set(comm.allgather(digest))) == 1:
        return
    everyone = comm.allgather(mine)
    for rank, theirs in enumerate(everyone):
        difference = _difference(everyone[0], theirs, rank)
        if difference:
            raise UsageError(
                f"the ranks have different models: {difference}. Make the model with the same sizes and seed on every "
                "rank, or copy rank 0's with labkit.training.agreement.broadcast_model(comm, model)."
            )


def describe(model: nn.Module) -> list[tuple[str, tuple[int, ...], str, bool, str]]:
    """Name, shape, type, whether it is trained, and digest of the values, of each parameter and buffer."""
    rows = []
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        rows.append((name, tuple(tensor.shape), str(tensor.dtype), tensor.requires_grad, digest_of([tensor])))
    return rows


def digest_of(tensors: Sequence[torch.Tensor]) -> str:
    """SHA-256 of the bits of tensors, 16 hexadecimal digits of it.

    Examples
    --------
    >>> digest_of([torch.zeros(2)]) == digest_of([torch.zeros(2)]), digest_of([torch.tensor([0.0, -0.0])])[:8]
    (True, 'e6ad6c9a')
    """
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()[:16]


def weights_digest(model: nn.Module) -> str:
    """The digest of all parameters and buffers of a model."""
    return digest_of([*model.parameters(), *model.buffers()])


def broadcast_model(comm, model: nn.Module, root: int = 0) -> None:
    """Give every rank root's parameters and buffers. Collective; the shapes must agree already."""
    for tensor in [*model.parameters(), *model.buffers()]:
        values = comm.bcast(tensor.detach().cpu() if comm.rank == root else None, root)
        with torch.no_grad():  # simulated ranks share this switch of the thread: no communication inside
            tensor.copy_(values)


def _difference(ours, theirs, rank: int) -> str:
    """The first difference between the model of rank 0 and that of another, in words."""
    names, other_names = [row[0] for row in ours], [row[0] for row in theirs]
    if names != other_names:
        index = next((k for k, (a, b) in enumerate(zip(names, other_names, strict=False)) if a != b), min(len(names), len(other_names)))
        first, second = (repr(row[index]) if index < len(row) else "nothing" for row in (names, other_names))
        return f"at place {index} rank 0 has {first} and rank {rank} {second} ({len(names)} and {len(other_names)} tensors)"
    words = ("", "the shape", "the type", "requires_grad", "values with the digest")
    for mine, other in zip(ours, theirs, strict=True):
        for part in range(1, 5):
            if mine[part] != other[part]:
                return f"{mine[0]!r} has {words[part]} {mine[part]} on rank 0 and {other[part]} on rank {rank}"
    return ""
