"""A small batch system for one machine, in the dialects of PBS, LSF and SGE: a program of many names.

    python fake_scheduler.py FOLDER KIND qsub job.sh

It does with a job what those systems do: the script is copied at submission, waits, and is run in a session of its
own with the variables and the list of nodes of its kind. In FOLDER:

- ``hold``: jobs wait as long as this file is there;
- ``forgetful``: nothing is known of jobs that have ended;
- ``refuse``: what submissions are answered with;
- ``calls``: the commands that were run;
- ``jobs/ID/``: of each job.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER, KIND, PROGRAM = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
WORDS = sys.argv[4:]
HOST = os.uname().nodename
TAG = "FAKE_JOB"  # in the environment of all processes of a job, as batch systems mark them by groups
GRACE_S = 5.0
GONE = {"pbs": "qstat: Unknown Job Id", "lsf": "Job <0> is not found", "sge": "error: job id 0 not found"}


def main():
    with (FOLDER / "calls").open("a") as calls:
        calls.write(shlex.join([PROGRAM, *WORDS]) + "\n")
    if PROGRAM == "qsub" and "--version" in WORDS:
        print("pbs_version = 22.05.11")
    elif PROGRAM in ("qsub", "bsub"):
        submit()
    elif PROGRAM in ("qdel", "bkill"):
        cancel(WORDS[-1])
    elif PROGRAM in ("qstat", "bjobs", "qacct"):
        {"pbs": pbs_state, "lsf": lsf_state, "sge": sge_state}[KIND]()
    elif PROGRAM == "run":
        run(Path(WORDS[0]))
    return 0


def fail(text):
    print(text, file=sys.stderr)
    raise SystemExit(1)


# -- submission ------------------------------------------------------------------------------------------------------


def submit():
    if (FOLDER / "refuse").exists():
        fail((FOLDER / "refuse").read_text())
    text = sys.stdin.read() if KIND == "lsf" else Path(WORDS[-1]).read_text()
    number = len(list((FOLDER / "jobs").glob("*"))) + 1
    job = FOLDER / "jobs" / str(number)
    job.mkdir(parents=True)
    (job / "script").write_text(text)
    (job / "submitted_in").write_text(os.getcwd())
    (job / "asked").touch()
    (job / "slots").write_text(slots(text))
    # like the daemon of a batch system it is nobody's child
    subprocess.Popen([sys.executable, "-I", __file__, str(FOLDER), KIND, "run", str(job)], start_new_session=True,
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print({"pbs": f"{number}.fake-server", "lsf": f"Job <{number}> is submitted to queue <normal>.", "sge": number}[KIND])


def directives(text):
    prefix = {"pbs": "#PBS ", "lsf": "#BSUB ", "sge": "#$ "}[KIND]
    return [shlex.split(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix)]


def slots(text):
    for words in directives(text):
        if words[0] == {"pbs": "-l", "lsf": "-n", "sge": "-pe"}[KIND] and (KIND != "pbs" or "select=" in words[1]):
            if KIND != "pbs":
                return words[-1]
            chunks = re.findall(r"(?:^|\+|=)(\d+):ncpus=\d+:mpiprocs=(\d+)", words[1])
            return str(sum(int(count) * int(each) for count, each in chunks))
    return "1"


# -- running ---------------------------------------------------------------------------------------------------------


def run(job):
    """Wait for the job's turn, run it, note how it ended."""
    while (FOLDER / "hold").exists() or (job / "asked").read_text().count("?") < 2:  # at least twice seen in the queue
        if (job / "cancelled").exists():
            finish(job, "cancelled")
            return
        time.sleep(0.05)
    text = (job / "script").read_text()
    log = next((words[1] for words in directives(text) if words[0] == "-o"), str(job / "output"))
    home = (job / "submitted_in").read_text() if KIND in ("lsf", "sge") else os.path.expanduser("~")
    with open(log, "wb") as output:
        process = subprocess.Popen(["/bin/bash", str(job / "script")], cwd=home, env=environment(job), stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    (job / "pid").write_text(str(process.pid))
    while process.poll() is None:
        if (job / "cancelled").exists():
            end(job, process)
        time.sleep(0.05)
    kill_all(job)
    finish(job, str(process.returncode if process.returncode >= 0 else 128 - process.returncode))


def environment(job):
    number, num_slots, folder = job.name, int((job / "slots").read_text()), (job / "submitted_in").read_text()
    nodes = job / "nodes"
    nodes.write_text(f"{HOST}\n" * num_slots if KIND == "pbs" else f"{HOST} {num_slots} all.q@{HOST} UNDEFINED\n")
    own = {
        "pbs": {"PBS_JOBID": f"{number}.fake-server", "PBS_O_WORKDIR": folder, "PBS_NODEFILE": str(nodes),
                "PBS_ENVIRONMENT": "PBS_BATCH", "PBS_JOBNAME": "job"},
        "lsf": {"LSB_JOBID": number, "LS_SUBCWD": folder, "LSB_HOSTS": " ".join([HOST] * num_slots),
                "LSB_MCPU_HOSTS": f"{HOST} {num_slots}", "LSB_BATCH_JID": number},
        "sge": {"JOB_ID": number, "SGE_O_WORKDIR": folder, "PE_HOSTFILE": str(nodes), "NSLOTS": str(num_slots),
                "NHOSTS": "1", "SGE_TASK_ID": "undefined"},
    }[KIND]
    kept = {name: os.environ[name] for name in ("HOME", "USER", "LANG", "PYTHONPATH") if name in os.environ}
    return {**kept, "PATH": "/usr/local/bin:/usr/bin:/bin", TAG: str(job), **own}


def end(job, process):
    """PBS asks first, LSF asks twice, SGE does not ask."""
    for number in {"pbs": [signal.SIGTERM], "lsf": [signal.SIGINT, signal.SIGTERM], "sge": []}[KIND]:
        os.killpg(process.pid, number)
        try:
            process.wait(GRACE_S)
            return
        except subprocess.TimeoutExpired:
            continue
    kill_all(job)
    process.wait()


def kill_all(job):
    for pid in processes_of(job):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def processes_of(job):
    """All processes that carry the tag of a job."""
    mark, found = f"{TAG}={job}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def finish(job, how):
    (job / "ended.part").write_text(how)
    (job / "ended.part").replace(job / "ended")


def cancel(job_id):
    job = FOLDER / "jobs" / job_id.split(".")[0]
    if not job.is_dir() or (job / "ended").exists():
        fail({"pbs": f"qdel: Unknown Job Id {job_id}", "lsf": f"Job <{job_id}>: Job has already finished",
              "sge": f'denied: job "{job_id}" does not exist'}[KIND])
    (job / "cancelled").touch()


# -- questions -------------------------------------------------------------------------------------------------------


def state_of(job_id):
    """(queued, running or ended; how it ended) of a job."""
    job = FOLDER / "jobs" / job_id.split(".")[0]
    if not job.is_dir():
        fail(GONE[KIND])
    with (job / "asked").open("a") as asked:
        asked.write("?")
    if (job / "ended").exists():
        if (FOLDER / "forgetful").exists():
            fail(GONE[KIND])
        how = (job / "ended").read_text()
        return "ended", how if how != "cancelled" else "cancelled"
    return ("running" if (job / "pid").exists() else "queued"), ""


def pbs_state():
    word, how = state_of(WORDS[-1])
    lines = [f"Job Id: {WORDS[-1]}", "    Job_Name = job", f"    job_state = {dict(queued='Q', running='R', ended='F')[word]}"]
    if word == "queued":
        lines.append("    comment = Not Running: Insufficient amount of resource: ncpus")
    else:
        lines.append(f"    exec_host = {HOST}/0*2")
    if word == "ended" and how != "cancelled":
        lines.append(f"    Exit_status = {how if int(how) <= 128 else int(how) + 128}")
    print("\n".join(lines))


def lsf_state():
    word, how = state_of(WORDS[-1])
    if word == "queued":
        print("PEND|-|-|-|Not enough job slots;")
    elif word == "running":
        print(f"RUN|-|2*{HOST}|-|-")
    elif how == "0":
        print(f"DONE|-|2*{HOST}|-|-")
    else:
        cancelled = how == "cancelled" or (FOLDER / "jobs" / WORDS[-1] / "cancelled").exists()
        reason = "TERM_OWNER: job killed by owner" if cancelled else "-"
        print(f"EXIT|{'-' if how == 'cancelled' else how}|2*{HOST}|{reason}|-")


def sge_state():
    if PROGRAM == "qacct":
        job = FOLDER / "jobs" / WORDS[-1]
        if not (job / "ended").exists() or (FOLDER / "forgetful").exists():
            fail(f"error: job id {WORDS[-1]} not found")
        how = (job / "ended").read_text()
        killed = how == "cancelled" or int(how) > 128
        failed = "100 : assumedly after job" if killed else "0"
        print(f"{'=' * 62}\nhostname     {HOST}\njobnumber    {job.name}\nfailed       {failed}\nexit_status  {137 if killed else how}")
    elif "-xml" in WORDS:
        print("<?xml version='1.0'?>\n<job_info><queue_info>")
        for job in (FOLDER / "jobs").glob("*"):
            if (job / "ended").exists():
                continue
            word, _ = state_of(job.name)
            state, queue = ("r", f"all.q@{HOST}") if word == "running" else ("qw", "")
            print(f"<job_list><JB_job_number>{job.name}</JB_job_number><state>{state}</state>"
                  f"<queue_name>{queue}</queue_name></job_list>")
        print("</queue_info></job_info>")
    else:  # -s p -u "*"
        waiting = [job.name for job in (FOLDER / "jobs").glob("*") if not (job / "pid").exists() and not (job / "ended").exists()]
        print("job-ID  prior   name       user         state\n" + "-" * 40)
        for name in waiting:
            print(f"{name:>7} 0.55500 job        user         qw")


if __name__ == "__main__":
    sys.exit(main())
