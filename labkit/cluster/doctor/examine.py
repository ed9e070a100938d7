"""``%cluster doctor`` and ``labkit cluster doctor``: look, try, and say what is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.cluster.doctor import site_looks as look
from labkit.cluster.doctor.diagnose import diagnose
from labkit.cluster.doctor.evidence import Answer, Evidence, Job
from labkit.cluster.doctor.job_checks import lasting_reason
from labkit.cluster.doctor.listener import Listener
from labkit.cluster.doctor.probe_run import ProbeRun, processes_of
from labkit.cluster.doctor.report import Report
from labkit.cluster.folder import remove_folder
from labkit.cluster.options import ClusterOptions
from labkit.errors import LabkitError, UsageError

WAIT_S = 120.0
TITLES = {"ssh": "SSH", "local": "this machine"}
BLOCKING = (
    "commands",
    "clocks",
    "authentication",
    "scheduler",
    "partition",
    "time limit",
    "submission",
    "hosts",
    "folder",
)


def examine(words: Sequence[str], engines=None, progress: Callable[[str], None] | None = None) -> Report:
    """Find out what keeps a cluster from working.

    Parameters
    ----------
    words : sequence of str
        A kind or profile and options, as for start, and ``--wait SECONDS`` for the queue (120). Without
        any, what ``engines`` were started with, or else two ranks of the scheduler that is here, if any.
    engines : Engines, optional
        Of the notebook.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    Report
        It shows itself in a notebook; ``report.text`` for elsewhere.

    Raises
    ------
    UsageError
        The options break a rule.
    """
    words, wait_s = split_wait(words)
    options = options_for(words, engines)
    say = progress or (lambda text: None)

    def said(text: str) -> None:
        say(f"Doctor: {text}")

    evidence = gather(options, wait_s, said, last_job_of(engines))
    findings = tuple(diagnose(evidence))
    said("done")
    return Report(what_was_asked(options), findings, evidence)


def split_wait(words: Sequence[str]) -> tuple[list[str], float]:
    """``--wait SECONDS`` out of the words."""
    words, wait_s = list(words), WAIT_S
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--wait":
            value = value if equals else (words[index + 1] if index + 1 < len(words) else "")
            try:
                wait_s = float(value)
            except ValueError:
                wait_s = -1.0
            if not 0 < wait_s < 1e6:
                raise UsageError(
                    f"--wait {value!r}: a number of seconds for the queue is needed, for example --wait 300."
                )
            return words[:index] + words[index + (1 if equals else 2) :], wait_s
    return words, wait_s


def options_for(words: list[str], engines=None) -> ClusterOptions:
    """What is to be looked at."""
    if words:
        from labkit.cluster.option_words import parse_start

        return parse_start(words, prog="%cluster doctor").options
    options = getattr(engines, "options", None)
    if isinstance(options, ClusterOptions):
        return options
    if shutil.which("sbatch"):
        return ClusterOptions("slurm", num_ranks=2)
    return ClusterOptions("local", num_ranks=2)


def what_was_asked(options: ClusterOptions) -> str:
    """One line about the options."""
    nodes = f" on {options.num_nodes} nodes" if options.num_nodes else ""
    launcher = f", --mpi {options.mpi}" if options.is_batch else ""
    return f"Cluster of kind {options.kind}: {options.num_ranks} ranks{nodes}{launcher}"


def last_job_of(engines) -> Job | None:
    """The job of the notebook's cluster, if it has ended."""
    state = getattr(engines, "state", None)
    if state is None or state.word != "ended":
        return None
    return Job(getattr(engines, "job_id", ""), state.word, state.reason, state.native, state.nodes)


def gather(options: ClusterOptions, wait_s: float, say, last_job: Job | None = None) -> Evidence:
    """Look at everything, as far as there is a way; leaves nothing behind."""
    scheduler = None
    if options.is_batch:
        from labkit.cluster.schedulers import find_scheduler

        scheduler = find_scheduler(options.kind)
    evidence = Evidence(
        options=options,
        title=scheduler.title if scheduler is not None else TITLES[options.kind],
        host=socket.gethostname(),
        versions=look.versions_here(),
        last_job=last_job,
        clock_is_foreign=options.kind != "local",
    )
    say("commands on this machine")
    evidence = dataclasses.replace(
        evidence, found=look.find_commands(options.kind), version=look.version_of_scheduler(options.kind)
    )
    if options.kind == "slurm" and _goes(evidence):
        say("authentication and controller")
        evidence = dataclasses.replace(
            evidence, authentication=look.try_authentication(), controller=look.ping_controller()
        )
        if _goes(evidence):
            evidence = dataclasses.replace(evidence, partitions=look.slurm_partitions())
    if options.kind == "ssh" and _goes(evidence):
        say("hosts")
        evidence = dataclasses.replace(evidence, hosts={host: look.try_host(host) for host in options.hosts})
    address, wrong = look.find_address(options)
    evidence = dataclasses.replace(evidence, address=address, address_error=wrong, interface=look.interface_of(address))
    try:
        folder = look.make_folder(options)
    except OSError as error:
        return dataclasses.replace(evidence, folder_error=str(error))
    try:
        evidence = dataclasses.replace(evidence, folder=str(folder))
        return _try(evidence, scheduler, folder, wait_s, say)
    finally:
        remove_folder(folder)


def _goes(evidence: Evidence) -> bool:
    """Whether nothing is known yet that makes a job impossible."""
    return not any(finding.status == "fail" and finding.name in BLOCKING for finding in diagnose(evidence))


def _try(evidence: Evidence, scheduler, folder: Path, wait_s: float, say) -> Evidence:
    """The part that needs the folder: the script, and the probe."""
    listener = None
    with contextlib.ExitStack() as stack:
        if evidence.address:
            try:
                listener = stack.enter_context(Listener(evidence.address))
            except OSError as error:
                evidence = dataclasses.replace(evidence, address_error=str(error))
        run = ProbeRun(evidence.options, folder, listener, evidence.address)
        if scheduler is None:
            return _try_command(evidence, run, say)
        script = run.write_script(scheduler)
        if evidence.options.kind == "slurm" and _goes(evidence):
            say("the job script, tested only")
            evidence = _with_refusal(evidence, scheduler, look.try_submission(script))
        if not _goes(evidence):
            return evidence
        say("a short job")
        try:
            seen = evidence
            job = run.run_job(scheduler, script, wait_s, say, lambda job: lasting_reason(seen, job) is not None)
        except LabkitError as error:
            command = scheduler.submit_command[0]
            return dataclasses.replace(evidence, submission=Answer(command, 1, str(error)), refusal=str(error))
        if evidence.submission is None:
            evidence = dataclasses.replace(evidence, submission=Answer(scheduler.submit_command[0], 0, ""))
        return _with_reports(evidence, run, job)


def _with_refusal(evidence: Evidence, scheduler, answer: Answer) -> Evidence:
    words = "" if answer.ok else scheduler.explain_refusal(answer.text)
    return dataclasses.replace(evidence, submission=answer, refusal=words)


def _try_command(evidence: Evidence, run: ProbeRun, say) -> Evidence:
    """The probe without a scheduler: by the launcher that the engines use."""
    from labkit.cluster.engines.local import LocalEngines
    from labkit.cluster.engines.ssh import SSHEngines

    class UncheckedSSHEngines(SSHEngines):
        """The checks of the engines would end at the first fault, without its cause."""

        def _check_hosts(self, ssh: str) -> None:
            pass

    options = evidence.options
    if not _goes(evidence):
        return evidence
    try:
        if options.kind == "ssh":
            launcher = UncheckedSSHEngines(options)._mpiexec()
        else:
            launcher = LocalEngines()._mpiexec()
    except LabkitError as error:
        return dataclasses.replace(evidence, found=evidence.found | {"mpiexec": ""}, address_error=str(error))
    run.run_command([*launcher, "-n", str(options.num_ranks)], say)
    return _with_reports(evidence, run, None)


def _with_reports(evidence: Evidence, run: ProbeRun, job: Job | None) -> Evidence:
    processes = processes_of(run.read())
    num_asked = evidence.options.num_ranks if job is None or job.started else 0
    return dataclasses.replace(
        evidence,
        job=job,
        processes=processes,
        num_asked=num_asked,
        launcher_said=run.log,
        launcher_code=run.launcher_code,
    )
