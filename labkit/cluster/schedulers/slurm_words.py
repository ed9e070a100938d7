"""What Slurm's codes mean, and what a user can do."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping

from labkit.cluster.schedulers.scheduler import exit_words

# Why a job waits. Longer names first where one begins another: the first that matches is taken.
_WAITING = {
    "Priority": "Jobs of higher priority wait for the same nodes. It starts on its own: nothing to do; "
    "a shorter --time or fewer --nodes often start sooner.",
    "Resources": "It is next in line, and waits until enough nodes are free. Nothing to do; "
    "fewer --nodes or ranks may start sooner.",
    "PartitionTimeLimit": "Its time limit is longer than the partition allows, so it will never start. "
    'See the limits with sinfo -o "%P %l", and give a shorter --time or another --partition.',
    "PartitionNodeLimit": "It asks for more nodes than the partition gives one job, so it will never start. "
    "Give fewer --nodes or another --partition.",
    "PartitionConfig": "The partition does not allow such a job. Give other options or another --partition.",
    "PartitionDown": "The partition is closed to new jobs by the administrators. "
    "Wait, or give another --partition (sinfo shows them).",
    "PartitionInactive": "The partition is switched off. Give another --partition (sinfo shows them).",
    "ReqNodeNotAvail": "Nodes that it needs are not available: down, drained, or reserved (often for maintenance). "
    "Give a --time that ends before the maintenance (scontrol show reservation), or other nodes.",
    "Nodes required for job are DOWN": "All nodes it could use are down, drained, or reserved. "
    "Give another --partition, or ask the administrators (sinfo -R says why they are down).",
    "DependencyNeverSatisfied": "It waits for another job in a way that can no longer come true. Stop it.",
    "Dependency": "It waits for another job, as its --dependency says.",
    "BeginTime": "Its earliest time to begin has not come; after a restart Slurm waits two minutes.",
    "JobHeldUser": "It is held by you. Release it with scontrol release and its id, or stop it.",
    "JobHeldAdmin": "It is held by the administrators. Ask them.",
    "QOSMaxJobsPerUserLimit": "You have as many running jobs as your quality of service allows. "
    "It starts when one of them ends; see them with squeue --me.",
    "QOSMaxSubmitJobPerUserLimit": "You have as many jobs as your quality of service allows. End one (squeue --me).",
    "QOSMaxWallDurationPerJobLimit": "Its time limit is longer than your quality of service allows, "
    "so it will never start. Give a shorter --time.",
    "QOSMax": "It asks for more than your quality of service allows at a time. "
    "Ask for less (ranks, --nodes, --gpus, --time), or wait until other jobs of yours end.",
    "QOSMin": "It asks for less than your quality of service demands. Ask for more, or for another one.",
    "QOSGrp": "All jobs of this quality of service together have reached its limit. It starts when some end.",
    "QOSNotAllowed": "Your quality of service may not use this partition. Give another --partition.",
    "InvalidQOS": "Its quality of service is not valid. See yours with: sacctmgr show assoc user=$USER.",
    "InvalidAccount": "Its account is not valid. See yours with: sacctmgr show assoc user=$USER format=account.",
    "AccountNotAllowed": "Its account may not use this partition. Give another --account or --partition.",
    "AssocMaxJobsLimit": "Your account has as many running jobs as it may have. It starts when one of them ends.",
    "AssocMaxWallDurationPerJobLimit": "Its time limit is longer than your account allows, "
    "so it will never start. Give a shorter --time.",
    "AssocMax": "It asks for more than your account allows one job. Ask for less (ranks, --nodes, --gpus, --time).",
    "AssocGrp": "All jobs of your account together have reached its limit (nodes, cores, or hours that are used up). "
    "Wait until some end, give another --account, or ask the administrators for more.",
    "MaxCpuPerAccount": "Your account has all the cores it may have. It starts when other jobs of it end.",
    "BadConstraints": "No node has what the job asks for, so it will never start. See the nodes with sinfo -N -l.",
    "Licenses": "It waits for a licence that other jobs use.",
    "Reservation": "It waits for its reservation to begin.",
    "launch failed requeued held": "It could not be started on its nodes and is held. Stop it and start again.",
    "Cleaning": "An earlier run of it is being cleaned up.",
    "Prolog": "Its nodes are being prepared.",
    "FedJobLock": "Clusters agree on who runs it.",
}
_WHILE = {
    "CONFIGURING": "Its nodes are being prepared (some may have to boot).",
    "SUSPENDED": "Slurm has suspended it in favour of another job.",
    "STOPPED": "It was stopped by a signal and keeps its nodes.",
}

# What sbatch says when it refuses, and what it means. The doctor reads the same table.
_LIST_ACCOUNTS = "List yours with: sacctmgr show assoc user=$USER format=account,partition,qos"
REFUSALS = {
    "Invalid partition name": "there is no such partition here. List them with sinfo -s and give one as --partition.",
    "invalid partition specified": "there is no such partition here. List them with sinfo -s and give one "
    "as --partition.",
    "Invalid account or account/partition": f"the account is not yours, or may not use this partition. "
    f"{_LIST_ACCOUNTS}; give one as --account.",
    "Invalid qos": f"the quality of service is not yours. {_LIST_ACCOUNTS}.",
    "group not permitted to use this partition": "this partition is for other groups. Give another --partition.",
    "Requested time limit is invalid": "the time limit is missing or longer than the partition allows. "
    'See the limits with sinfo -o "%P %l" and give a --time within them.',
    "Job violates accounting/QOS policy": "a limit of your account is reached: jobs in the queue, size or time. "
    "Stop other jobs (squeue --me), or ask for less.",
    "Requested node configuration is not available": "no nodes of the partition have so many cores, GPUs or "
    "so much memory. See them with: sinfo -N -o '%N %c %m %G'. Ask for less a node, or give another --partition.",
    "Node count specification invalid": "the partition gives a job fewer nodes, or has fewer. "
    "Give fewer --nodes (sinfo -s).",
    "More processors requested than permitted": "so many cores are not there or not allowed. Give fewer ranks.",
    "Memory specification can not be satisfied": "no node has so much memory. Give less --memory.",
    "Invalid generic resource": "there are no such GPUs here, or they have a type that has to be named. "
    "See them with: sinfo -o '%P %G'; name a type by --directive \"--gres=gpu:TYPE:1\".",
    "Required partition not available": "the partition is closed at the moment. Give another --partition (sinfo -s).",
    "Requested partition configuration not available now": "the partition is closed at the moment, or too small "
    "for this job. Give another --partition (sinfo -s).",
    "authentication": "this machine and Slurm's controller do not trust each other: munge is not running, "
    "has another key, or the clocks differ. Ask the administrators; munge -n | unmunge tests this machine.",
    "munge": "munge, which proves who you are, does not work on this machine. Ask the administrators; "
    "munge -n | unmunge tests it.",
    "Unable to contact slurm controller": "Slurm's controller does not answer: it is down, or this machine "
    "cannot reach it. scontrol ping tests it; try from a login node, then ask the administrators.",
    "Could not establish a configuration source": "Slurm's tools find no configuration on this machine. "
    "Work on a login node of the cluster, or set SLURM_CONF to its slurm.conf.",
    "Socket timed out": "Slurm's controller is overloaded. The job may have been taken all the same: "
    "look with squeue --me before you try again.",
    "Access/permission denied": "you may not do this with that job, or not use that partition. "
    "See squeue --me for your jobs.",
    "unrecognized option": "this version of Slurm does not know an option. Correct the --directive that names it.",
    "invalid option": "this version of Slurm does not know an option. Correct the --directive that names it.",
}


def why_waiting(native: str, reason: str) -> str:
    """Why a job that has not ended is where it is."""
    if native in _WHILE:
        return _WHILE[native]
    if reason in ("None", "") or native == "RUNNING":
        return "Slurm has not looked at it yet." if native == "PENDING" else ""
    known = next((words for code, words in _WAITING.items() if reason.startswith(code)), "")
    nodes = re.search(r"UnavailableNodes:(\S+)", reason)
    if known and nodes and nodes[1] != "(null)":
        return f"{known} Not available: {nodes[1]}."
    return known or f"Slurm's reason is {reason!r}; its list of reasons explains it (job_reason_codes)."


def why_ended(native: str, facts: Mapping[str, str], reason: str) -> str:
    """Why a job ended, from its state, the other facts of it and Slurm's reason."""
    state, _, rest = native.partition(" ")
    limit, code = facts.get("TimeLimit", ""), facts.get("ExitCode", "")
    restarts = facts.get("Restarts", "0")
    again = f" Slurm had restarted it before (restarts: {restarts})." if restarts not in ("", "0") else ""
    limit_words = f"Its time limit{f' of {limit}' if limit else ''} passed. Ask for more with --time."
    if state == "COMPLETING" and reason == "TimeLimit":
        state = "TIMEOUT"
    if state == "CANCELLED":
        return f"It was cancelled{_by(rest)}.{again}"
    if state == "FAILED" and reason in ("NodeDown", "NodeFail"):
        state = "NODE_FAIL"
    words = {
        "COMPLETED": "Its script came to its end.",
        "COMPLETING": "It is ending.",
        "TIMEOUT": limit_words,
        "DEADLINE": "Its deadline passed.",
        "NODE_FAIL": "One of its nodes failed (crashed, or lost its network). Start it again.",
        "PREEMPTED": "Slurm took its nodes for a job of higher priority. Start it again, or in a --partition "
        "that is not preempted.",
        "OUT_OF_MEMORY": "It used more memory than it had asked for. Ask for more with --memory, or use more --nodes.",
        "BOOT_FAIL": "Its nodes could not be started. Start it again, and tell the administrators if it happens again.",
        "LAUNCH_FAILED": "It could not be started on its nodes. Start it again, and tell the administrators.",
        "REVOKED": "Another cluster of the federation runs it.",
        "FAILED": f"Its script failed{_how(code)}. See its output.",
    }
    return words.get(state, f"Slurm calls its end {native}.") + again


def _how(code: str) -> str:
    match = re.fullmatch(r"(\d+):(\d+)", code)
    return f" ({exit_words(int(match[1]), int(match[2]))})" if match and code != "0:0" else ""


def _by(rest: str) -> str:
    match = re.match(r"by (\d+)", rest)
    if match is None:
        return " (by scancel, or by the administrators)"
    uid = int(match[1])
    if uid == os.getuid():
        return " by you (scancel)"
    try:
        return f" by user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f" by the user with id {uid}"
