"""``labkit cluster``: the verbs of ``%cluster`` for a shell."""

from __future__ import annotations

import sys
from pathlib import Path

from labkit.cluster import manage, registry
from labkit.cluster.option_words import parse_start
from labkit.errors import UsageError

USAGE = """\
usage: labkit cluster VERB ...

  start KIND [-n RANKS] [--nodes NODES] [--time MINUTES] [--name NAME] ...
                          start a cluster that a notebook can use: %cluster connect NAME
                          KIND: slurm, pbs, lsf, sge, or a profile; --dry-run prints the job script only
  status [NAME ...]       what they are doing; without a name, all
  list                    the same
  logs NAME               what the job has printed
  stop NAME               cancel its job and end it
  doctor KIND ... [--wait SECONDS]
                          find out why a cluster does not work
  script FILE.py KIND ... a job script for a Python program on MPI ranks, without a notebook
  profiles [--example]    the profiles that there are; an example of a file of profiles"""


def main(argv: list[str]) -> int:
    """Run one verb."""
    verb, *words = argv or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if argv else 2
    verbs = {
        "start": _start, "status": _status, "list": _status, "logs": _logs, "stop": _stop, "doctor": _doctor,
        "script": _script, "profiles": _profiles,
    }
    if verb not in verbs:
        raise UsageError(f"there is no verb {verb!r}; there are {', '.join(verbs)}.")
    return verbs[verb](words) or 0


def _start(words: list[str]) -> None:
    request = parse_start(words, prog="labkit cluster start", add_help=True)
    options = request.options
    if request.dry_run:
        print(manage.dry_run(options), end="")
        return
    if options.kind in ("local", "ssh"):
        raise UsageError(
            f"a cluster of kind {options.kind!r} ends with the process that started it; start it in the notebook: "
            f"%cluster start {options.kind} ..."
        )
    options = options.changed(keep=True)  # this process ends now
    engines = manage.start(options, _say)
    engines.leave()
    print(f"\nIn a notebook:  %load_ext labkit\n                %cluster connect {engines.name}")


def _say(text: str) -> None:
    """Progress: one line that is replaced on a terminal, a line each elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _status(words: list[str]) -> None:
    found = [manage.status(registry.load(name)) for name in words] if words else manage.statuses()
    print("\n".join(status.text for status in found) or "No clusters. labkit cluster start ... makes one.")


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
    raise UsageError(f"{verb} NAME: which cluster? There {'are ' + ', '.join(names) if names else 'is none'}.")


def _doctor(words: list[str]) -> int:
    from labkit.cluster.doctor import examine

    report = examine(words, progress=_say)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(report.text)
    return 0 if report.is_well else 1


def _script(words: list[str]) -> None:
    print(script_of(words, prog="labkit cluster script"), end="")


def script_of(words: list[str], prog: str) -> str:
    """The job script of a Python program, from the words of the command."""
    from labkit.cluster.script import job_script

    file, options, arguments = parse_script(words, prog=prog)
    if options.kind in ("local", "ssh"):
        raise UsageError(f"{prog}: a job script is for a batch system (slurm, pbs, lsf, sge), not for {options.kind!r}.")
    return job_script(options, Path(file), arguments)


def _profiles(words: list[str]) -> None:
    from labkit.cluster import profiles

    if words == ["--example"]:
        print(profiles.example(), end="")
        return
    if words:
        raise UsageError(f"profiles [--example]: not {' '.join(words)}.")
    print(profiles.overview())
