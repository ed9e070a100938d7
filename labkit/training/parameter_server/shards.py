"""The weights as one flat vector, cut into blocks for the servers."""

from __future__ import annotations

from labkit.errors import UsageError


def shard_bounds(num_elements: int, num_servers: int) -> tuple[tuple[int, int], ...]:
    """Start and stop of each server's block: sizes differ by one at most, the longer ones first.

    Raises
    ------
    UsageError
        No server, or more servers than elements.

    Examples
    --------
    >>> shard_bounds(10, 3)
    ((0, 4), (4, 7), (7, 10))
    """
    if num_servers < 1 or num_servers > num_elements:
        raise UsageError(
            f"parameter server: {num_elements} weights on {num_servers} servers: "
            f"take at least 1 server and at most one for each weight."
        )
    quotient, rest = divmod(num_elements, num_servers)
    ends = [server * quotient + min(server, rest) for server in range(num_servers + 1)]
    return tuple(zip(ends, ends[1:], strict=False))


def roles(num_ranks: int, num_servers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ranks of the servers, the first ones, and of the workers, all others.

    Raises
    ------
    UsageError
        No server, or no worker is left.

    Examples
    --------
    >>> roles(5, 2)
    ((0, 1), (2, 3, 4))
    """
    if not 1 <= num_servers < num_ranks:
        raise UsageError(
            f"parameter server: {num_servers} servers among {num_ranks} ranks leave {max(0, num_ranks - num_servers)} "
            f"workers: both must be at least 1; start more ranks or take fewer servers."
        )
    return tuple(range(num_servers)), tuple(range(num_servers, num_ranks))
