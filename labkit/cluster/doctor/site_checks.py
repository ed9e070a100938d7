"""What can be said without a job: commands, authentication, the scheduler, its partitions, folder and address."""

from __future__ import annotations

import ipaddress
import re

from labkit.cluster.doctor.diagnose import Finding, names, ok
from labkit.cluster.doctor.evidence import Evidence
from labkit.cluster.doctor.refusals import chosen_partition, other_partitions, refusal, telling_line

SKEW_WORDS = re.compile(r"expired credential|rewound credential", re.I)
AUTHENTICATION_WORDS = re.compile(r"munge|authenticat|credential", re.I)
CONTROLLER_WORDS = re.compile(
    r"unable to contact|is DOWN|connection refused|socket timed out|cannot connect to|communication", re.I
)


def commands(evidence: Evidence) -> Finding | None:
    missing = [name for name, path in evidence.found.items() if not path]
    if missing:
        where = "a login node of the cluster" if evidence.options.is_batch else "a machine that has them"
        load = f", or load its module before you start it (often: module load {evidence.options.kind})"
        return Finding(
            "commands",
            "fail",
            f"{names(missing)}: not found on {evidence.host or 'this machine'}",
            f"start the notebook on {where}{load if evidence.options.is_batch else ''}",
        )
    if not evidence.found:
        return None
    return ok("commands", f"{evidence.version + ', ' if evidence.version else ''}{next(iter(evidence.found.values()))}")


def _answers(evidence: Evidence) -> list:
    given = (evidence.authentication, evidence.controller, evidence.submission)
    return [answer for answer in given if answer is not None and not answer.ok]


def credentials(evidence: Evidence) -> Finding | None:
    for answer in _answers(evidence):
        if SKEW_WORDS.search(answer.text):
            return Finding(
                "clocks",
                "fail",
                f"the clocks of {evidence.host or 'this machine'} and of the cluster differ by more than 5 minutes: "
                f"{answer.command} says: {answer.last}",
                "set this machine's clock (an administrator: chronyc makestep, or systemctl restart chronyd)",
            )
    return None


def authentication(evidence: Evidence) -> Finding | None:
    for answer in _answers(evidence):
        if answer is evidence.authentication or AUTHENTICATION_WORDS.search(answer.text):
            words = [line.strip() for line in answer.text.splitlines() if AUTHENTICATION_WORDS.search(line)]
            said = next((line for line in words if re.search(r"fail|denied|invalid", line, re.I)), answer.last)
            return Finding(
                "authentication",
                "fail",
                f"{answer.command} fails on {evidence.host or 'this machine'}: {said}",
                "an administrator has to see to munge here: munged must run, with the key that the cluster has, and "
                "slurm.conf must name its socket (try: munge -n | unmunge)",
            )
    return None if evidence.authentication is None else ok("authentication", "munge accepts its own credential")


def scheduler(evidence: Evidence) -> Finding | None:
    answers = [evidence.controller, evidence.submission]
    bad = [
        a
        for a in answers
        if a is not None and not a.ok and (a is evidence.controller or CONTROLLER_WORDS.search(a.text))
    ]
    if bad:
        said = " ".join(bad[0].text.split()) or "nothing"
        return Finding(
            "scheduler",
            "fail",
            f"the controller of {evidence.title} does not answer: {bad[0].command} says: {said[:200]}",
            f"wait until {bad[0].command} says that it is up, or ask the site's support; until then cells can "
            f"run on this "
            f"machine (%cluster stop)",
        )
    if evidence.controller is None:
        return None
    return ok("scheduler", " ".join(evidence.controller.text.split()) or f"{evidence.title} answers")


def partition(evidence: Evidence) -> Finding | None:
    if not evidence.partitions:
        return None
    options, found = evidence.options, chosen_partition(evidence)
    if found is None and options.partition is None:
        if evidence.submission is not None and evidence.submission.ok:
            return None  # a site may choose one by itself
        return Finding(
            "partition", "fail", "none is the default here", f"choose one with --partition{other_partitions(evidence)}"
        )
    if found is None:
        return Finding(
            "partition",
            "fail",
            f"there is no partition {options.partition!r} that you may use",
            f"choose one with --partition{other_partitions(evidence)}",
        )
    asked = options.num_nodes or 1
    if not found.is_up:
        return Finding(
            "partition",
            "fail",
            f"partition {found.name} starts no jobs at present",
            f"choose another with --partition{other_partitions(evidence)}",
        )
    if asked > found.num_nodes:
        return Finding(
            "partition",
            "fail",
            f"--nodes {asked}, but partition {found.name} has {found.num_nodes}",
            f"ask for at most --nodes {found.num_nodes}",
        )
    why = f" ({found.reasons})" if found.reasons else ""
    if found.num_usable == 0:
        return Finding(
            "partition",
            "fail",
            f"all {found.num_nodes} nodes of partition {found.name} are down or drained{why}",
            f"wait until they are back, or choose another with --partition{other_partitions(evidence)}",
        )
    if asked > found.num_usable:
        return Finding(
            "partition",
            "fail",
            f"--nodes {asked}, but only {found.num_usable} of {found.num_nodes} nodes of partition "
            f"{found.name} work at present{why}",
            f"ask for at most --nodes {found.num_usable}, or wait",
        )
    lacking = f", {found.num_nodes - found.num_usable} down or drained" if found.num_usable < found.num_nodes else ""
    return ok("partition", f"{found.name}: {found.num_nodes} nodes{lacking}")


def time_limit(evidence: Evidence) -> Finding | None:
    found, wanted = chosen_partition(evidence), evidence.options.time_seconds
    most = found.max_time_s if found is not None else None
    last = evidence.last_job
    if last is not None and re.search(r"time.?limit|timeout", f"{last.native} {last.reason}", re.I):
        up_to = f" (at most {clock_text(most)} in partition {found.name})" if most else ""
        return Finding(
            "time limit",
            "fail",
            f"job {last.job_id} was ended by its time limit: it needed more",
            f"start again with a longer --time{up_to}",
        )
    if found is None:
        return None
    if wanted is not None and most is not None and wanted > most:
        longer = [p.name for p in evidence.partitions if p.is_up and (p.max_time_s is None or p.max_time_s >= wanted)]
        return Finding(
            "time limit",
            "fail",
            f"--time {evidence.options.time} is more than partition {found.name} allows, {clock_text(most)}",
            f"ask for at most --time {clock_text(most)}" + (f", or choose --partition {longer[0]}" if longer else ""),
        )
    limit = wanted or found.default_time_s or most
    if limit is None:
        return ok("time limit", "none")
    of = f", at most {clock_text(most)}" if most is not None else ""
    whose = "" if wanted else " (the site's, as --time is not given)"
    return ok("time limit", f"{clock_text(limit)}{whose}{of}")


def clock_text(seconds: float) -> str:
    """Seconds as ``HH:MM:SS``, as schedulers take them."""
    seconds = int(seconds)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def submission(evidence: Evidence) -> Finding | None:
    answer = evidence.submission
    if answer is None:
        return None
    if answer.ok:
        return ok("submission", f"{evidence.title} accepts the job script")
    said = evidence.refusal or answer.last
    return (
        refusal(evidence, answer.text + evidence.refusal)
        and refusal(evidence, telling_line(answer.text, said))
        or Finding(
            "submission",
            "fail",
            f"{evidence.title} refuses the job script: {said}",
            "look at the script (%cluster start ... --dry-run) and leave out what is not known here",
        )
    )


def hosts(evidence: Evidence) -> Finding | None:
    bad = {host: answer for host, answer in evidence.hosts.items() if not answer.ok}
    if not evidence.hosts:
        return None
    if not bad:
        return ok("hosts", f"{names(evidence.hosts)}: login without a password works")
    host, answer = next(iter(bad.items()))
    if re.search(r"permission denied|host key verification", answer.text, re.I):
        remedy = f"make a login without a password work: ssh-copy-id {host}, then: ssh {host} true"
    elif re.search(r"resolve|name or service", answer.text, re.I):
        remedy = "correct the name in --hosts"
    else:
        remedy = f"try it by hand: ssh {host} true"
    return Finding("hosts", "fail", f"{names(bad)} cannot be reached over SSH: {answer.last}", remedy)


def folder(evidence: Evidence) -> Finding | None:
    if evidence.folder_error:
        return Finding(
            "folder",
            "fail",
            f"the cluster's folder cannot be used: {evidence.folder_error}",
            "name one that you can write, and that this machine and the nodes share: --folder DIR",
        )
    return None


def address(evidence: Evidence) -> Finding | None:
    if not evidence.address:
        return (
            Finding("address", "fail", evidence.address_error, "name one with --address IP")
            if evidence.address_error
            else None
        )
    if evidence.options.kind != "local" and ipaddress.ip_address(evidence.address).is_loopback:
        return Finding(
            "address",
            "fail",
            f"the controller would listen at {evidence.address}, which the nodes take for themselves",
            "leave --address out, or name the address that this machine has in the nodes' network",
        )
    if evidence.address_error:
        return Finding(
            "address",
            "fail",
            f"{evidence.address} is no address of {evidence.host or 'this machine'}: {evidence.address_error}",
            "leave --address out, or name one that the command ip address shows",
        )
    return None
