"""What a transformer's block sends, and what a rank keeps for its backward pass, by scheme: pure arithmetic.

A block has two parts, attention and the two products; each ends with a sum of partial products over the ranks, forward,
and each begins with values that all ranks use, whose gradient is such a sum, backward. So a block costs two all-reduces
forward and two backward, of samples x length x width values each.

With sequence parallelism a part begins with an all-gather and ends with a reduce-scatter, in both directions. A ring's
all-reduce of n bytes is just these two, one after the other: n (p - 1) / p bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError

TENSOR, SEQUENCE = "tensor", "tensor and sequence"
SCHEMES = (TENSOR, SEQUENCE)
PARTS = ("attention", "products")


@dataclass(frozen=True, slots=True)
class BlockMessage:
    """One collective call of a block.

    Attributes
    ----------
    part : str
        ``"attention"`` or ``"products"``.
    is_backward : bool
    kind : str
    num_bytes : int
        Of the whole tensor.
    sent_bytes : float
        By each rank, in a ring.
    """

    part: str
    is_backward: bool
    kind: str
    num_bytes: int
    sent_bytes: float


def block_messages(
    num_ranks: int, width: int, length: int, batch: int, scheme: str = TENSOR, *, itemsize: int = 4
) -> tuple[BlockMessage, ...]:
    """The collective calls of one block in one training step, in their order.

    Parameters
    ----------
    num_ranks, width, length, batch : int
        Ranks, values of a token, tokens of a sample, samples.
    scheme : str
        ``"tensor"`` or ``"tensor and sequence"``.
    itemsize : int
        Bytes of a value.

    Raises
    ------
    UsageError
        A size below 1, or another scheme.

    Examples
    --------
    >>> [(m.part, m.is_backward, m.kind, m.sent_bytes) for m in block_messages(2, 8, 4, 1)][:2]
    [('attention', False, 'all-reduce', 128.0), ('products', False, 'all-reduce', 128.0)]
    >>> sum(m.sent_bytes for m in block_messages(4, 8, 4, 1)) == sum(
    ...     m.sent_bytes for m in block_messages(4, 8, 4, 1, "tensor and sequence"))
    True
    """
    for name, value in (("num_ranks", num_ranks), ("width", width), ("length", length), ("batch", batch)):
        if value < 1:
            raise UsageError(f"{name} is 1 or more, not {value}: pass such a number.")
    if scheme not in SCHEMES:
        raise UsageError(f"there is no scheme {scheme!r}: take {' or '.join(map(repr, SCHEMES))}.")
    if num_ranks == 1:
        return ()
    num_bytes = batch * length * width * itemsize
    once = num_bytes * (num_ranks - 1) / num_ranks
    kinds = ("all-reduce",) if scheme == TENSOR else ("all-gather", "reduce-scatter")
    return tuple(
        BlockMessage(part, is_backward, kind, num_bytes, once * (2 if kind == "all-reduce" else 1))
        for is_backward in (False, True)
        for part in (PARTS[::-1] if is_backward else PARTS)
        for kind in kinds
    )


def kept_bytes(
    num_ranks: int, width: int, length: int, batch: int, num_heads: int, scheme: str = TENSOR, *, itemsize: int = 2
) -> float:
    """What a rank keeps of one block for its backward pass, in bytes.

    Per token, in units of the width: 10 of norms' inputs, dropout masks and the blocks' inputs, which tensor
    parallelism leaves whole on every rank and sequence parallelism divides; 24 of the products and their activation,
    and 5 heads * length / width of scores, which both divide (Korthikanti et al. 2022, equations 2 and 4, for 16-bit
    values and masks of a byte).

    Examples
    --------
    >>> kept_bytes(8, 12288, 2048, 1, 96, "tensor and sequence") / kept_bytes(1, 12288, 2048, 1, 96) == 1 / 8
    True
    """
    unit = batch * length * width * itemsize / 2
    scores = 5 * num_heads * length / width
    whole, divided = (10, 24 + scores) if scheme == TENSOR else (0, 34 + scores)
    return unit * (whole + divided / num_ranks)


def block_flops(width: int, length: int, batch: int, *, hidden: int | None = None) -> float:
    """Multiplications and additions of one block in a training step, forward and backward, of all ranks together.

    Examples
    --------
    >>> round(block_flops(4096, 2048, 1) / 1e12, 2)
    2.68
    """
    hidden = 4 * width if hidden is None else hidden
    tokens = batch * length
    products = 2 * tokens * width * (4 * width + 2 * hidden)
    scores = 2 * 2 * tokens * length * width
    return 3.0 * (products + scores)
