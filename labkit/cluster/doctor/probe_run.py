"""Running the probe: a short job, or mpiexec, and gathering what its processes report."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from labkit.cluster.doctor.evidence import Job, Process
from labkit.cluster.doctor.listener import Listener
from labkit.cluster.doctor.script import environment, job_script, process_command
from labkit.cluster.options import ClusterOptions
from labkit.errors import LabkitError

PROBE_S = 90  # from the start of the job to its last report
SETTLE_S = 3.0  # for files that a shared file system shows late
HOPE_S = 3.0  # in the queue for a reason that does not pass: schedulers change their mind at first
QUIET_S = 30.0  # without anything new, when some processes have reported: something is stuck
STAGES = ("shell", "python", "loaded", "world", "mpi")
LAUNCHER = re.compile(r"^LABKIT-PROBE-LAUNCHER (-?\d+)$", re.M)
PREFIX = "LABKIT-PROBE "


class ProbeRun:
    """One run of the probe.

    Parameters
    ----------
    options : ClusterOptions
    folder : Path
        Private, on a file system that the nodes should share.
    listener : Listener or None
        None: this machine has no such address, and the processes will find nobody there.
    address : str
    """

    def __init__(self, options: ClusterOptions, folder: Path, listener: Listener | None, address: str):
        self.options = options
        self.folder = folder
        self.listener = listener
        self.token = listener.token if listener is not None else os.urandom(16).hex()
        port = listener.port if listener is not None else 9  # discard: nobody listens there
        self.told = environment(folder, self.token, address or "127.0.0.1", port, options.num_ranks)
        self.command = process_command(options.python)
        self.log = ""
        self.launcher_code: int | None = None
        (folder / "token").write_text(self.token)

    # -- ways to run ----------------------------------------------------------------------------

    def write_script(self, scheduler) -> Path:
        """The script of the probe's job; it can be submitted, or only tested."""
        path = self.folder / "probe.sh"
        path.write_text(job_script(self.options, scheduler, self.command, self.told, PROBE_S))
        path.chmod(0o700)
        return path

    def run_job(
        self, scheduler, script: Path, wait_s: float, say: Callable[[str], None], is_hopeless: Callable[[Job], bool]
    ) -> Job:
        """Submit the script and gather until all is said; the job has ended, whatever happens.

        It waits in the queue for ``wait_s`` seconds at most, and no longer than there is hope.

        Raises
        ------
        LabkitError
            It was refused.
        """
        began = time.monotonic()
        job_id = scheduler.submit(script)
        job = Job(job_id, "queued")
        try:
            while True:
                with contextlib.suppress(LabkitError):  # a scheduler that is slow now
                    job = self._look(scheduler, job, time.monotonic() - began)
                if job.started or job.word == "ended":
                    break
                if time.monotonic() - began > (HOPE_S if is_hopeless(job) else wait_s):
                    return dataclasses.replace(job, waited_s=time.monotonic() - began)
                place = scheduler.position(job_id)
                say(
                    f"job {job_id} waits"
                    + (f", place {place.place} of {place.waiting}" if place else "")
                    + (f": {job.reason}" if job.reason else "")
                )
                time.sleep(0.5 if time.monotonic() - began < 10 else 2.0)
            say(f"job {job_id} runs on {', '.join(job.nodes) or 'its nodes'}")
            return self._gather(scheduler, job)
        finally:
            with contextlib.suppress(LabkitError):
                scheduler.cancel(job_id)

    def _look(self, scheduler, job: Job, waited_s: float) -> Job:
        state = scheduler.state(job.job_id)
        if state.word == "unknown":
            return job
        # A short job may have ended before it was seen to run.
        started = job.started or state.word in ("starting", "running") or (state.word == "ended" and bool(state.nodes))
        return dataclasses.replace(
            job,
            word=state.word,
            reason=state.reason,
            native=state.native,
            nodes=state.nodes or job.nodes,
            started=started,
            waited_s=job.waited_s if job.started else waited_s,
        )

    def _gather(self, scheduler, job: Job) -> Job:
        deadline, asked, num_seen = time.monotonic() + PROBE_S + 10, time.monotonic(), 0
        quiet_until = deadline
        while time.monotonic() < min(deadline, quiet_until):
            num_reports = len(self.read())
            if self.launcher_code is not None:
                break
            if num_reports > num_seen:
                num_seen, quiet_until = num_reports, time.monotonic() + QUIET_S
            time.sleep(0.1)
            if job.word == "ended":
                deadline = min(deadline, time.monotonic() + SETTLE_S)
            elif time.monotonic() - asked > 1.0:
                asked = time.monotonic()
                with contextlib.suppress(LabkitError):
                    job = self._look(scheduler, job, job.waited_s)
        return job

    def run_command(self, words: list[str], say: Callable[[str], None]) -> None:
        """Run the processes by ``mpiexec`` and the like from this machine; ends all that it has started."""
        say("ranks start")
        path = self.folder / "job.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [*words, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.told,
                start_new_session=True,
            )
            try:
                process.wait(PROBE_S)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM if process.poll() is None else signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5.0)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        self.launcher_code = process.wait()

    # -- what was said --------------------------------------------------------------------------

    def read(self) -> list[dict]:
        """All reports so far, from files, the job's output and connections."""
        reports = list(self.listener.reports) if self.listener is not None else []
        for path in self.folder.glob("report-*.json"):
            with contextlib.suppress(OSError, ValueError):
                reports.append(json.loads(path.read_text()))
        with contextlib.suppress(OSError):
            text = (self.folder / "job.log").read_text(errors="replace")
            self.log = "\n".join(line for line in text.splitlines() if not line.startswith("LABKIT-PROBE"))
            if found := LAUNCHER.search(text):
                self.launcher_code = int(found[1])
            for line in text.splitlines():
                if line.startswith(PREFIX):
                    with contextlib.suppress(ValueError):
                        reports.append(json.loads(line.removeprefix(PREFIX)))
        for report in reports:
            if isinstance(report, dict) and "launcher" in report:  # the job's own last words
                self.launcher_code = int(report["launcher"])
                self.log = self.log or str(report.get("said", "")).replace("|", "\n")
        return [report for report in reports if isinstance(report, dict) and "stage" in report]


def processes_of(reports: list[dict]) -> tuple[Process, ...]:
    """Reports of the same process, put together: later stages know more.

    Examples
    --------
    >>> stages = [{"host": "n1", "pid": 7, "stage": "mpi", "size": 4}, {"host": "n1", "pid": 7, "stage": "python"}]
    >>> [(process.stage, process.size) for process in processes_of(stages)]
    [('mpi', 4)]
    """
    known = {field.name: field for field in dataclasses.fields(Process)}
    merged: dict[tuple, dict] = {}
    for report in sorted(
        (r for r in reports if r["stage"] in STAGES), key=lambda r: (STAGES.index(r["stage"]), len(r))
    ):
        key = report.get("host"), report.get("pid")
        merged.setdefault(key, {}).update({name: value for name, value in report.items() if name in known})
    found = [
        Process(**{name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()})
        for facts in merged.values()
    ]
    return tuple(sorted(found, key=lambda p: (p.rank if p.rank is not None else 1 << 30, p.host, p.pid)))
