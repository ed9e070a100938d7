"""The words of a command line that describe a cluster, for ``%cluster`` and ``labkit cluster`` alike."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from labkit.cluster.options import BATCH_KINDS, KINDS, ClusterOptions
from labkit.cluster.profiles import Profile, load_profiles
from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What the words after ``start`` ask for."""

    options: ClusterOptions
    dry_run: bool = False
    profile: str | None = None


class ClusterParser(argparse.ArgumentParser):
    """An argument parser that raises :class:`~labkit.errors.UsageError` where it is wrong."""

    def __init__(self, prog: str, description: str | None = None, *, add_help: bool = False):
        super().__init__(prog=prog, description=description, add_help=add_help, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. {self.usage_line()}")

    def parse_known_args(self, args=None, namespace=None):
        """As argparse does, but ``--directive "-l foo"`` is an option and its text."""
        return super().parse_known_args(None if args is None else _glued(args), namespace)

    def usage_line(self) -> str:
        """The usage in one line."""
        return " ".join(self.format_usage().split()).replace("usage:", "Usage:")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a cluster; None stands for what is not given."""
    group = parser.add_argument_group("the cluster")

    def add(*words: str, **how) -> None:
        how.setdefault("default", None)
        group.add_argument(*words, **how)

    add("-n", dest="num_ranks", type=_whole, metavar="RANKS", help="MPI ranks")
    add("--nodes", dest="num_nodes", type=_whole, metavar="NODES", help="on so many nodes")
    add("--ranks-per-node", type=_whole, metavar="RANKS", help="on each node")
    add("--time", metavar="TIME", help="limit: minutes, MM:SS, HH:MM:SS or D-HH:MM:SS")
    add("--partition", metavar="NAME", help="partition or queue")
    add("--account", metavar="NAME", help="account or project")
    add("--gpus", type=_whole, metavar="COUNT", help="GPUs a node")
    add("--memory", metavar="4G", help="memory a node")
    add("--module", dest="modules", action="append", metavar="NAME", help="a module to load; may be repeated")
    add("--environment", metavar="PATH", help="venv or conda environment, or the line of shell that activates one")
    add("--directive", dest="directives", action="append", metavar="TEXT", help="for the scheduler; may be repeated")
    add("--mpi", metavar="KIND", help="pmi2, pmix, mpiexec or none")
    add("--hosts", type=_hosts, metavar="A,B", help="for ssh")
    add("--name", metavar="NAME", help="of the cluster")
    add("--folder", metavar="DIR", help="shared with the nodes")
    add("--address", metavar="IP", help="of this machine, as the nodes reach it")
    add("--keep", action="store_true", help="do not stop it with the notebook")
    add("--python", metavar="PATH", help="interpreter on the nodes")
    add("--profile", metavar="NAME", help="options from a profile")


def start_parser(prog: str, *, add_help: bool = False) -> ClusterParser:
    """The parser of ``start``."""
    parser = ClusterParser(prog, "Start MPI ranks on a cluster.", add_help=add_help)
    parser.add_argument(
        "kind", nargs="?", default=None, metavar="KIND", help=f"{', '.join(KINDS)}, or the name of a profile"
    )
    add_cluster_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="show the job script and start nothing")
    return parser


def parse_start(
    words: Sequence[str], folder: Path | None = None, *, prog: str = "%cluster start", add_help: bool = False
) -> StartRequest:
    """What ``start slurm -n 8 ...`` asks for, from the words after ``start``.

    Parameters
    ----------
    words : sequence of str
        As a shell splits them.
    folder : Path, optional
        Where the search for the project's profiles begins; the current folder by default.
    prog : str
        How the command is called, for its messages.
    add_help : bool
        Whether ``--help`` prints the options and ends the program; else it is answered by an error.

    Raises
    ------
    UsageError
        The rule that is broken, the values, and what to write.

    Examples
    --------
    >>> parse_start(["slurm", "-n", "8", "--nodes", "2"]).options.ranks_by_node()
    [4, 4]
    """
    parser = start_parser(prog, add_help=add_help)
    if not add_help and ("-h" in words or "--help" in words):
        raise UsageError(parser.usage_line())
    given = parser.parse_args(words)
    profile = profile_of(given.kind, given.profile, folder)
    return StartRequest(
        cluster_options(given, given.kind, profile), given.dry_run, profile.name if profile is not None else None
    )


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """What the words after ``script`` ask for."""

    file: Path
    options: ClusterOptions
    arguments: tuple[str, ...] = ()


def parse_script(
    words: Sequence[str], folder: Path | None = None, *, prog: str = "%cluster script", add_help: bool = False
) -> ScriptRequest:
    """What ``script FILE.py KIND [options] [-- ARGUMENTS]`` asks for. Parameters and errors as of :func:`parse_start`.

    Examples
    --------
    >>> request = parse_script(["pi.py", "slurm", "-n", "8", "--", "-n", "1000"])
    >>> request.options.num_ranks, request.arguments
    (8, ('-n', '1000'))
    """
    words = list(words)
    end = words.index("--") if "--" in words else len(words)
    words, arguments = words[:end], tuple(words[end + 1 :])
    parser = ClusterParser(prog, "Write a job script for a Python program on MPI ranks.", add_help=add_help)
    parser.usage = f"{prog} FILE.py [KIND] [-n RANKS] [--nodes NODES] ... [-- ARGUMENTS OF THE PROGRAM]"
    parser.add_argument("file", metavar="FILE.py", help="what the ranks run")
    parser.add_argument(
        "kind", nargs="?", default=None, metavar="KIND", help=f"{', '.join(BATCH_KINDS)}, or the name of a profile"
    )
    add_cluster_options(parser)
    if not add_help and ("-h" in words or "--help" in words):
        raise UsageError(parser.usage_line())
    given = parser.parse_args(words)
    for name in ("keep", "address"):
        if getattr(given, name) is not None:
            raise UsageError(
                f"{prog}: --{name} is for clusters of notebooks, and a job script ends by itself. Leave it out."
            )
    profile = profile_of(given.kind, given.profile, folder)
    options = cluster_options(given, given.kind, profile)
    if not options.is_batch:
        kind = f"the profile {profile.name}, of kind {options.kind}" if profile is not None else given.kind or "no kind"
        raise UsageError(
            f"{prog}: a job script is for a batch system, and this is {kind}. Name one of {', '.join(BATCH_KINDS)}, "
            f"or a profile of such a kind: {prog} {given.file} slurm -n 4."
        )
    return ScriptRequest(Path(given.file), options, arguments)


def profile_of(word: str | None, name: str | None, folder: Path | None = None) -> Profile | None:
    """The profile that a command's first word or its ``--profile`` names; None if neither does."""
    if word is not None and word not in KINDS:
        if name is not None and name != word:
            raise UsageError(
                f"{word} and --profile {name}: both name a profile. Give one of them; the first word may also be "
                f"a kind of cluster ({', '.join(KINDS)})."
            )
        name = word
    if name is None:
        return None
    profiles = load_profiles(folder)
    if name not in profiles:
        known = f"The profiles are: {', '.join(sorted(profiles))}." if profiles else "There are no profiles yet."
        raise UsageError(
            f"{name!r} is neither a kind of cluster ({', '.join(KINDS)}) nor a profile. {known} "
            f"labkit cluster profiles --example shows how to write one."
        )
    return profiles[name]


def cluster_options(
    given: argparse.Namespace, kind: str | None = None, profile: Profile | None = None
) -> ClusterOptions:
    """Options of a command line, over those of a profile.

    Modules, directives and hosts replace those of the profile as a whole.
    """
    names = [field.name for field in fields(ClusterOptions) if field.name != "kind"]
    words = {name: getattr(given, name) for name in names if getattr(given, name, None) is not None}
    values: dict[str, object] = {"kind": kind if kind in KINDS else "local"}
    if profile is not None:
        if kind in KINDS and kind != profile.kind:
            raise UsageError(
                f"{kind} --profile {profile.name}: this profile is of kind {profile.kind}. "
                f"Leave the word {kind} out, or name another profile."
            )
        values = {"name": profile.name, **profile.values}
        for name in _replaced(words):
            values.pop(name, None)
    return ClusterOptions(**{**values, **words})


def _replaced(words: Mapping[str, object]) -> tuple[str, ...]:
    """Which parts of a profile's shape no longer hold when these words are given.

    Ranks per node stay where they can: they belong to the nodes of a site, not to one run.
    """
    if "num_ranks" in words and "num_nodes" in words:
        return ("ranks_per_node",)
    if "num_ranks" in words or "num_nodes" in words:
        return ("num_ranks", "num_nodes")
    return ("num_ranks",) if "ranks_per_node" in words else ()


def _glued(words: Sequence[str]) -> list[str]:
    """``--directive "-l foo"`` as one word, since argparse would take the text for an option."""
    glued: list[str] = []
    for word in words:
        if glued and glued[-1] == "--directive":
            glued[-1] = f"--directive={word}"
        else:
            glued.append(word)
    return glued


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _hosts(text: str) -> list[str]:
    return [host.strip() for host in text.split(",") if host.strip()]
