"""How far workers may run apart: bulk-synchronous, stale-synchronous, asynchronous; and the clocks that tell.

A worker's clock counts the steps whose gradient it has pushed. Before step ``c`` it pulls the weights; the rule says
how far behind the slowest worker may be then::

    bsp        0             nobody begins a step before everyone has finished the one before
    ssp,s      s             at most s steps apart: short delays are hidden, a worker that is slow for good is not
    async      no bound      nobody waits

The bound of ssp: L. G. Valiant, CACM 33 (1990) for bsp; Q. Ho et al., NeurIPS 26 (2013) for ssp, whose s = 0 is bsp;
B. Recht et al., NeurIPS 24 (2011) and J. Dean et al., NeurIPS 25 (2012) for no bound at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from labkit.errors import UsageError

KINDS = ("bsp", "ssp", "async")


@dataclass(frozen=True, slots=True)
class Consistency:
    """A rule for workers that run apart, with the text form ``bsp``, ``ssp,3`` or ``async``.

    Attributes
    ----------
    kind : str
        ``bsp``, ``ssp`` or ``async``.
    bound : int or None
        How many steps a worker may be ahead of the slowest; 0 for bsp, None for async.

    Raises
    ------
    UsageError
        Another kind; an ssp without a bound, or with one that is no whole number from 0; a bound for the others.

    Examples
    --------
    >>> Consistency.parse("ssp,3")
    Consistency(kind='ssp', bound=3)
    >>> str(Consistency("bsp")), str(Consistency("async"))
    ('bsp', 'async')
    """

    kind: str
    bound: int | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UsageError(f"consistency: a kind is one of {', '.join(KINDS)}, not {self.kind!r}: pass one of them.")
        bound = self.bound
        if self.kind == "ssp":
            if isinstance(bound, bool) or not isinstance(bound, Integral) or bound < 0:
                raise UsageError(
                    f"consistency: ssp takes a bound, the steps a worker may be ahead of the slowest, a whole number "
                    f"from 0, not {bound!r}: write 'ssp,3', for example."
                )
            object.__setattr__(self, "bound", int(bound))
        elif bound is not None and (self.kind, bound) != ("bsp", 0):
            raise UsageError(
                f"consistency: {self.kind} has no bound to choose, but {bound!r} was passed: write 'ssp,{bound}', or "
                f"leave it out."
            )
        elif self.kind == "bsp":
            object.__setattr__(self, "bound", 0)

    @classmethod
    def parse(cls, text: str | Consistency) -> Consistency:
        """The rule that a text names; a rule is returned as it is."""
        if isinstance(text, Consistency):
            return text
        kind, comma, bound = str(text).replace(" ", "").partition(",")
        if comma and not bound.isdecimal():
            raise UsageError(f"consistency: {bound!r} in {text!r} is no whole number from 0: write 'ssp,3', for example.")
        return cls(kind, int(bound) if comma else None)

    def __str__(self) -> str:
        return f"ssp,{self.bound}" if self.kind == "ssp" else self.kind

    def allows(self, clock: int, slowest: int) -> bool:
        """Whether a worker at ``clock`` may read while the slowest is at ``slowest``.

        Examples
        --------
        >>> [Consistency("ssp", 2).allows(clock, 4) for clock in (4, 6, 7)]
        [True, True, False]
        """
        return self.bound is None or clock - slowest <= self.bound


class Clocks:
    """The clocks of workers; those that have ended, or were lost, hold nobody back.

    Parameters
    ----------
    workers : iterable of int
        Their names, ranks for example.
    """

    def __init__(self, workers: Iterable[int]):
        self._clocks = dict.fromkeys(workers, 0)
        self._furthest = 0
        if not self._clocks:
            raise UsageError("parameter server: there is no worker: at least one rank beside the servers is needed.")

    def __getitem__(self, worker: int) -> int:
        return self._clocks[worker]

    def __contains__(self, worker: int) -> bool:
        return worker in self._clocks

    def __len__(self) -> int:
        return len(self._clocks)

    @property
    def workers(self) -> tuple[int, ...]:
        """Those that still take part, in order."""
        return tuple(sorted(self._clocks))

    @property
    def slowest(self) -> int:
        """The least clock; when nobody is left, the furthest there was."""
        return min(self._clocks.values(), default=self._furthest)

    def tick(self, worker: int) -> int:
        """A step of a worker is done; its new clock."""
        self._clocks[worker] += 1
        self._furthest = max(self._furthest, self._clocks[worker])
        return self._clocks[worker]

    def remove(self, worker: int) -> None:
        """A worker has ended or was lost."""
        self._clocks.pop(worker, None)

    def add(self, worker: int, clock: int) -> None:
        """A worker joins, as far as the others are."""
        self._clocks[worker] = clock
        self._furthest = max(self._furthest, clock)
