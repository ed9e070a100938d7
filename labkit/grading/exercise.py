"""What an exercise is: cases, points, budgets, limits, hints; and loading one from its folder."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labkit.comm.network.model import Network
from labkit.errors import UsageError

RETURN = "return"
COMPUTED_S = "computed_s"
REAL = -1
COLLECTIVES = (
    "Barrier", "Bcast", "Scatter", "Scatterv", "Gather", "Gatherv", "Allgather", "Allgatherv", "Alltoall", "Alltoallv",
    "Reduce", "Allreduce", "Reduce_scatter", "Reduce_scatter_block", "Scan", "Exscan",
)


@dataclass(frozen=True)
class Budget:
    """The most that a case may cost, all ranks together; None is no limit. See ``labkit.comm.simulated.run.Counts``.

    Attributes
    ----------
    num_messages, num_bytes, num_rounds, num_reduced_elements, max_bytes_sent, max_bytes_received : int or None
        Exact limits. ``max_...``: of the busiest rank.
    time_s : float or None
        Virtual time on the network of the case, in s.
    num_passes : float or None
        Of a function without a communicator: bytes read and written, in multiples of its largest array argument. Its
        arrays are then :class:`labkit.grading.remote.counted.CountedArray`, where the rules are: NumPy's operators and
        functions work on them, plain copies are refused.
    """

    num_messages: int | None = None
    num_bytes: int | None = None
    num_rounds: int | None = None
    num_reduced_elements: int | None = None
    max_bytes_sent: int | None = None
    max_bytes_received: int | None = None
    time_s: float | None = None
    num_passes: float | None = None


@dataclass(frozen=True)
class Case:
    """One call of the answer on every rank, and what must come of it.

    Values travel as data: None, bool, int, float, str, lists, tuples, dicts with str keys, NumPy arrays of
    numbers. Nothing else can be an argument or a result.

    Attributes
    ----------
    label : str
        ``"5 ranks, 7 elements"``: the first words of the feedback.
    arguments : tuple of tuple
        By rank: what follows ``comm`` in the call. For a function without a communicator
        (``num_ranks = 0``) one tuple: all its arguments.
    expected : tuple of dict
        By rank: ``{"return": value, 1: value}``, what is returned and what argument 1 (counted from 0, without
        ``comm``) must hold afterwards. Arguments that are not named may hold anything. ``COMPUTED_S`` is the virtual
        time that a simulated rank has computed, in s.
    num_ranks : int
        0 for a function without a communicator.
    rtol, atol : float
        For floating-point values; integers, strings and shapes must be equal.
    max_ulp : float or None
        Instead of them: the largest error in units in the last place of the expected value, in its own type.
    repeats : int
        For a function without a communicator: so many calls, all of which must be right. Where threads race, the
        verdict tells how often which result came.
    judge : callable, optional
        ``judge(results) -> str``, instead of ``expected``, where many answers are right: ``results[rank]`` is
        ``{"return": value, 0: ..., 1: ..., COMPUTED_S: seconds}``; "" if all is well, else what is wrong.
    seed : int or None
        Simulated delays and wildcard matching are shuffled by it.
    unsafe_sends : bool
        Every Send waits for its receive, as MPI allows.
    network : Network, optional
    budget : Budget, optional
    real : bool
        Run on real ranks instead of simulated ones (judged by values only).
    team : labkit.grading.threads.TeamSetup, optional
        The function's first argument is a team of threads.
    """

    label: str
    arguments: tuple[tuple, ...]
    expected: tuple[dict, ...] = ()
    num_ranks: int = 0
    rtol: float = 1e-12
    atol: float = 0.0
    max_ulp: float | None = None
    repeats: int = 1
    judge: Callable[[list[dict]], str] | None = None
    seed: int | None = None
    unsafe_sends: bool = False
    network: Network | None = None
    budget: Budget | None = None
    real: bool = False
    team: Any = None

    def __post_init__(self):
        if self.num_ranks and self.budget is not None and self.budget.num_passes is not None:
            raise UsageError(
                f"case {self.label!r}: passes are counted for functions without a communicator, and this case has "
                f"num_ranks={self.num_ranks}: leave out num_passes."
            )


def process_group(case: Case) -> int:
    """Cases of a group follow one another: those for equally many simulated ranks, and all real ones."""
    return REAL if case.real else case.num_ranks


def mpi_case(
    num_ranks: int, label: str, arguments: Callable[[int], tuple], expected: Callable[[int], dict] | None = None, **options
) -> Case:
    """A case for ``num_ranks`` ranks; ``arguments(rank)`` and ``expected(rank)`` as in :class:`Case`."""
    ranks = range(num_ranks)
    return Case(
        label, tuple(tuple(arguments(rank)) for rank in ranks),
        tuple(expected(rank) for rank in ranks) if expected is not None else (), num_ranks=num_ranks, **options,
    )


@dataclass(frozen=True)
class Slip:
    """A known way to go wrong.

    Attributes
    ----------
    text : str
        What the student reads.
    applies : callable
        ``applies(failure) -> bool``, see :class:`Failure`. It must not raise for odd values; if it does, it does not apply.
    """

    text: str
    applies: Callable[[Failure], bool]


@dataclass(frozen=True)
class Failure:
    """What a slip may look at.

    Attributes
    ----------
    status : labkit.grading.outcomes.Status
    case : Case or None
    results : list of dict
        By rank, as in ``Case.judge``; empty if there are none.
    message : str
        What the verdict says in one sentence.
    details : str
        Verdict or traceback.
    source : str
        Of the answer.
    """

    status: Any
    case: Case | None
    results: list[dict]
    message: str
    details: str
    source: str

    def actual(self, rank: int, key: int | str = RETURN) -> Any:
        """A value that a rank has brought, or None."""
        return self.results[rank].get(key) if rank < len(self.results) else None


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Attributes
    ----------
    title : str
    function : str
        Name of the function that the student writes. Its first parameter is ``comm`` in cases with ranks.
    points : float
        For an answer that passes every case.
    cases : callable
        ``cases() -> list of Case``, the smallest first: the first that fails is shown.
    hints : tuple of str
        Three, each stronger than the one before.
    forbidden : tuple of str
        Names of communicator methods that the answer may not call, in MPI's spelling: ``"Allreduce"`` also
        forbids ``allreduce`` and ``Iallreduce``.
    points_over_budget : float
        For an answer that is right everywhere but costs too much.
    slips : tuple of Slip
    time_limit_s : float
        Wall time of one case.
    memory_bytes : int
        Of one rank.
    name : str
        ``"topic/name"``; filled in when it is loaded.
    folder : Path
        Filled in when it is loaded.
    """

    title: str
    function: str
    points: float
    cases: Callable[[], Sequence[Case]]
    hints: tuple[str, str, str]
    forbidden: tuple[str, ...] = ()
    points_over_budget: float = 0.0
    slips: tuple[Slip, ...] = ()
    time_limit_s: float = 10.0
    memory_bytes: int = 1 << 30
    name: str = ""
    folder: Path = field(default=Path())

    def __post_init__(self):
        problems = [
            (not self.function.isidentifier(), f"function={self.function!r} is no name"),
            (self.points <= 0, f"points={self.points!r} must be positive"),
            (not 0 <= self.points_over_budget <= self.points, f"points_over_budget={self.points_over_budget!r} is not in 0 to points"),
            (len(self.hints) != 3, f"{len(self.hints)} hints instead of 3"),
        ]
        for is_wrong, text in problems:
            if is_wrong:
                raise UsageError(f"exercise {self.title!r}: {text}.")

    @property
    def statement(self) -> str:
        """What to do, in Markdown."""
        return (self.folder / "statement.md").read_text(encoding="utf-8")

    @property
    def starter(self) -> str:
        """What the student begins with."""
        return (self.folder / "starter.py").read_text(encoding="utf-8")

    def all_cases(self) -> list[Case]:
        """The cases, and the hidden ones where this tree has them; in the groups of :func:`process_group`."""
        found = list(self.cases())
        hidden = self.folder / "hidden.py"
        if hidden.exists():
            cases = _load(hidden, f"{self.name} (hidden)").cases
            found += cases(_load(self.folder / "exercise.py", self.name)) if inspect.signature(cases).parameters else cases()
        groups = list(dict.fromkeys(map(process_group, found)))
        return sorted(found, key=lambda case: groups.index(process_group(case)))


def exercises_folder() -> Path:
    """Where the exercises are: ``LABKIT_EXERCISES``, or ``exercises/`` here, above, or beside the package.

    Raises
    ------
    UsageError
        Nowhere.
    """
    named = os.environ.get("LABKIT_EXERCISES")
    candidates = [Path(named)] if named else [
        *(folder / "exercises" for folder in (Path.cwd(), *Path.cwd().parents)), Path(__file__).parents[2] / "exercises",
    ]
    for folder in candidates:
        if folder.is_dir():
            return folder.resolve()
    raise UsageError(
        f"there is no folder of exercises: looked for {candidates[0]}. Start from the course's folder, or name one in LABKIT_EXERCISES."
    )


def exercise_names(folder: Path | None = None) -> list[str]:
    """``topic/name`` of every exercise, in the order of the course: the file ``order.txt`` of a topic, else by name."""
    folder = folder or exercises_folder()
    names = []
    for topic in sorted(path for path in folder.iterdir() if path.is_dir()):
        found = sorted(path.parent.name for path in topic.glob("*/exercise.py"))
        listed = topic / "order.txt"
        order = listed.read_text(encoding="utf-8").split() if listed.exists() else []
        names += [f"{topic.name}/{name}" for name in sorted(found, key=lambda n: (order.index(n) if n in order else len(order), n))]
    return names


def load_exercise(name: str, folder: Path | None = None) -> Exercise:
    """The exercise ``topic/name``.

    Raises
    ------
    UsageError
        There is none of this name; the message lists those that there are.
    """
    folder = folder or exercises_folder()
    return _load_exercise(str(name), folder)


@functools.lru_cache(maxsize=256)
def _load_exercise(name: str, folder: Path) -> Exercise:
    path = folder / name / "exercise.py"
    if name.count("/") != 1 or ".." in name or not path.exists():
        raise UsageError(f"there is no exercise {name!r}; the exercises are {', '.join(exercise_names(folder)) or 'none'}.")
    return replace(_load(path, name).exercise, name=name, folder=path.parent)


def _load(path: Path, name: str):
    """A file of an exercise, as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"labkit_exercise_{name.replace('/', '_')}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
