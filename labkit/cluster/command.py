"""``labkit cluster``: the verbs of ``%cluster`` for a shell."""

from __future__ import annotations

import re
import shutil
import sys

from labkit.cluster import manage, registry
from labkit.cluster.option_words import parse_script, parse_start
from labkit.errors import LabkitError, UsageError

USAGE = """\
usage: labkit cluster VERB ...

  start KIND [-n RANKS] [--nodes NODES] [--time MINUTES] [--name NAME] ...
                          start a cluster that a notebook can use: %cluster connect NAME
                          KIND: slurm, pbs, lsf, sge, or a profile; --dry-run prints the job script only
  status [NAME ...]       what they are doing; without a name, all
  list                    the same of all
  logs [NAME]             what the job has printed
  stop [NAME]             cancel its job and end it
  doctor KIND ... [--wait SECONDS]
                          find out why a cluster does not work
  script FILE.py KIND ... a job script for a Python program on MPI ranks, without a notebook
  profiles [--example]    the profiles that there are; an example of a file of profiles

labkit cluster VERB --help says more. Exit status: 0, 1 (it failed), 2 (bad usage), 130 (interrupted)."""

HELP = {
    "status": """\
usage: labkit cluster status [NAME ...]

One line for each cluster: kind, ranks, nodes, job, its state in the words of the batch system, and who uses it.""",
    "list": """\
usage: labkit cluster list

One line for each of your clusters, the oldest first.""",
    "logs": f"""\
usage: labkit cluster logs [NAME]

The last {manage.LOG_LINES} lines of the job, of its last ranks and of the controller.
NAME may be left out if there is one cluster.""",
    "stop": """\
usage: labkit cluster stop [NAME]

Cancel the job of a cluster, end its controller and remove its files. NAME may be left out if there is one cluster.""",
    "profiles": """\
usage: labkit cluster profiles [--example]

The profiles that can be named in place of a KIND, and the files that they are from.
  --example   print a commented file of profiles, to be kept as ~/.config/labkit/clusters.toml
              or as labkit-clusters.toml in the folder of a project""",
    "doctor": """\
usage: labkit cluster doctor KIND [-n RANKS] [--nodes NODES] ...

Find out why a cluster does not work: one cause, one remedy. Options as of labkit cluster start.""",
}


def main(argv: list[str]) -> int:
    """Run one verb."""
    verb, *words = argv or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if argv else 2
    verbs = {
        "start": _start, "status": _status, "list": _list, "logs": _logs, "stop": _stop, "doctor": _doctor,
        "script": _script, "profiles": _profiles,
    }
    if verb not in verbs:
        raise UsageError(f"there is no verb {verb!r}; there are {', '.join(verbs)}.")
    if verb in HELP and {"-h", "--help"} & set(words):
        print(HELP[verb])
        return 0
    try:
        return verbs[verb](words) or 0
    except LabkitError as error:  # its words may be those of a notebook
        raise type(error)(re.sub(r"%cluster (?!connect)", "labkit cluster ", str(error))) from None


class _Progress:
    """Progress on stderr: one line that is replaced on a terminal, a line for each change elsewhere."""

    def __init__(self):
        self.is_terminal = sys.stderr.isatty()
        self.shown = ""

    def __call__(self, text: str) -> None:
        if self.is_terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r\x1b[K{text[: width - 1]}", end="", file=sys.stderr, flush=True)
        elif (news := re.sub(r" \(\d+ s\)$", "", text)) != self.shown:  # seconds alone are no news
            self.shown = news
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_) -> None:
        if self.is_terminal:
            print(file=sys.stderr, flush=True)


def _start(words: list[str]) -> None:
    request = parse_start(words, prog="labkit cluster start", add_help=True)
    options = request.options
    if request.dry_run:
        print(manage.dry_run(options), end="")
        return
    if not options.is_batch:
        raise UsageError(
            f"a cluster of kind {options.kind} ends with the process that started it. Start it in a notebook, with the "
            f"magic %cluster, or name one of slurm, pbs, lsf, sge, or a profile here."
        )
    with _Progress() as progress:
        engines = manage.start(options.changed(keep=True), progress)  # this process ends now
        engines.leave()
    print(
        f"Cluster {engines.name} runs until labkit cluster stop {engines.name}. In a notebook on this machine:\n"
        f"    %load_ext labkit\n    %cluster connect {engines.name}"
    )


def _status(words: list[str]) -> None:
    found = [manage.status(registry.load(name)) for name in words] if words else manage.statuses()
    print("\n".join(status.text for status in found) or "No clusters. labkit cluster start ... makes one.")


def _list(words: list[str]) -> None:
    if words:
        raise UsageError(f"list takes no words, not {' '.join(words)}; labkit cluster status NAME asks for one.")
    _status([])


def _logs(words: list[str]) -> None:
    print(manage.logs(_one_name(words, "logs")))


def _stop(words: list[str]) -> None:
    print(manage.stop(_one_name(words, "stop")))


def _one_name(words: list[str], verb: str) -> str:
    names = [record.name for record in registry.records()]
    if len(words) == 1:
        return words[0]
    if not words and len(names) == 1:
        return names[0]
    raise UsageError(f"{verb} NAME: name one cluster. {'There are ' + ', '.join(names) if names else 'There is none'}.")


def _doctor(words: list[str]) -> int:
    from labkit.cluster.doctor import examine

    with _Progress() as progress:
        report = examine(words, progress=progress)
    print(report.text)
    return 0 if report.is_well else 1


def _script(words: list[str]) -> None:
    print(script_of(words, prog="labkit cluster script", add_help=True), end="")


def script_of(words: list[str], prog: str, *, add_help: bool = False) -> str:
    """The job script of a Python program, from the words of the command."""
    from labkit.cluster.script import job_script

    request = parse_script(words, prog=prog, add_help=add_help)
    return job_script(request.options, request.file, request.arguments)


def _profiles(words: list[str]) -> None:
    from labkit.cluster import profiles

    if words == ["--example"]:
        print(profiles.example_profiles(), end="")
        return
    if words:
        raise UsageError(f"profiles [--example]: not {' '.join(words)}.")
    print(profiles.overview())
