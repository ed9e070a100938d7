"""A filter of system calls (seccomp), written as rules and assembled to the kernel's BPF."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass
from enum import StrEnum

from labkit.errors import NotAvailableError
from labkit.grading.confinement.libc import PR_GET_NAME, PR_SET_NAME, syscall
from labkit.grading.confinement.syscalls import (
    ALLOWED_COMMON,
    AUDIT_ARCH,
    SAME_NUMBERS_FROM,
    X32_BIT,
    number_of,
)


class Level(StrEnum):
    """What is confined."""

    ANSWER = "answer"
    """A simulated rank, or a function without a communicator: it computes and talks over its socket."""
    REAL_RANK = "real rank"
    """A rank of an MPI library after MPI_Init: it also uses shared memory and places its threads."""


@dataclass(frozen=True)
class Condition:
    """When a call is refused, from one of its arguments: ``kind`` is one of

    ``"any bit"`` (``argument & value``), ``"no bit"``, ``"equal"``, ``"other"`` (low 32 bits), or ``"nonzero"``
    (all 64).
    """

    argument: int
    kind: str
    values: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Rule:
    """Refuse a system call with EPERM: always, or under a condition."""

    name: str
    when: Condition | None = None


ALWAYS = {
    "sockets": "socket socketpair connect accept accept4 bind listen",
    "processes": "fork vfork execve execveat ptrace process_vm_readv process_vm_writev kcmp tkill rt_sigqueueinfo "
                 "rt_tgsigqueueinfo setpgid setsid setpriority sched_setscheduler sched_setparam "
                 "sched_setattr ioprio_set get_robust_list migrate_pages move_pages",
    "files": "creat mkdir mkdirat mknod mknodat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink "
             "symlinkat truncate ftruncate fallocate chmod fchmod fchmodat chown fchown lchown fchownat utime utimes "
             "futimesat utimensat setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr sync syncfs "
             "name_to_handle_at open_by_handle_at fanotify_init fanotify_mark inotify_init inotify_init1 "
             "inotify_add_watch memfd_create splice tee vmsplice",
    "messages": "msgget msgsnd msgrcv msgctl semget semop semtimedop semctl mq_open mq_unlink mq_timedsend "
                "mq_timedreceive mq_notify mq_getsetattr",
    "privileges": "setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset setrlimit "
                  "keyctl add_key request_key personality seccomp",
    "machine": "mount umount2 pivot_root chroot unshare setns swapon swapoff acct quotactl reboot sethostname "
               "setdomainname iopl ioperm modify_ldt init_module finit_module delete_module kexec_load "
               "kexec_file_load bpf perf_event_open userfaultfd io_setup io_submit settimeofday clock_settime "
               "adjtimex clock_adjtime syslog vhangup uselib nfsservctl lookup_dcookie remap_file_pages",
}
ANSWER_ONLY = "shmget shmat shmctl sched_setaffinity"

CLONE_THREAD = 0x00010000
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# F_SETOWN, F_SETSIG, F_SETOWN_EX: a file descriptor that sends a signal to any process.
SIGNALLING_FCNTL = (8, 10, 15)
# FIOSETOWN, SIOCSPGRP: the same. TIOCSTI, TIOCLINUX: type into the terminal.
SIGNALLING_IOCTL = (0x8901, 0x8902, 0x5412, 0x541C)


def rules(level: Level, pid: int) -> list[Rule]:
    """The rules of a level for the process ``pid`` (it may signal itself, as ``abort`` does, and nobody else)."""
    names = " ".join(ALWAYS.values()) + (" " + ANSWER_ONLY if level is Level.ANSWER else "")
    return [Rule(name) for name in names.split()] + [
        Rule("clone", Condition(0, "no bit", (CLONE_THREAD,))),
        Rule("open", Condition(1, "any bit", (WRITES,))),
        Rule("openat", Condition(2, "any bit", (WRITES,))),
        Rule("kill", Condition(0, "other", (pid,))),
        Rule("tgkill", Condition(0, "other", (pid,))),
        Rule("prlimit64", Condition(2, "nonzero")),
        Rule("prctl", Condition(0, "other", (PR_SET_NAME, PR_GET_NAME))),
        Rule("fcntl", Condition(1, "equal", SIGNALLING_FCNTL)),
        Rule("ioctl", Condition(1, "equal", SIGNALLING_IOCTL)),
    ]


# The assembler. An instruction is (code, jump if true, jump if false, constant); jumps count instructions to skip.
LOAD, JUMP_EQUAL, JUMP_GREATER_EQUAL, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER_OFFSET, ARCH_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16  # in struct seccomp_data; both machines are little-endian
Instruction = tuple[int, int, int, int]
PID_MARK = 0x7E57C0DE  # larger than any process id


def fail(number: int) -> Instruction:
    """Return: the call fails with this errno."""
    return (RETURN, 0, 0, 0x00050000 | number)


def assemble(found: list[Rule], machine: str) -> list[Instruction]:
    """The program for a machine: arch, x32, the common range, then rule by rule; what is left is allowed."""
    program = [
        (LOAD, 0, 0, ARCH_OFFSET), (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]), (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        program += [(JUMP_GREATER_EQUAL, 0, 1, X32_BIT), fail(errno.EPERM)]
    common = [line for value in ALLOWED_COMMON.values() for line in ((JUMP_EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW))]
    program += [(JUMP_GREATER_EQUAL, 0, len(common) + 1, SAME_NUMBERS_FROM), *common, fail(errno.ENOSYS)]
    for rule in found:
        number = number_of(rule.name, machine)
        if number is not None:
            body = _body(rule.when)
            program += [(JUMP_EQUAL, 0, len(body), number), *body]
    return [*program, (RETURN, 0, 0, ALLOW)]


def _body(when: Condition | None) -> list[Instruction]:
    """What follows once the number has matched; it always ends in a return."""
    refuse, allow = fail(errno.EPERM), (RETURN, 0, 0, ALLOW)
    if when is None:
        return [refuse]
    low = ARGUMENTS_OFFSET + 8 * when.argument
    if when.kind == "nonzero":
        return [(LOAD, 0, 0, low), (JUMP_EQUAL, 0, 2, 0), (LOAD, 0, 0, low + 4), (JUMP_EQUAL, 1, 0, 0), refuse, allow]
    code = JUMP_BITS if when.kind.endswith("bit") else JUMP_EQUAL
    matched, otherwise = (refuse, allow) if when.kind in ("any bit", "equal") else (allow, refuse)
    body = [(LOAD, 0, 0, low)]
    for value in when.values:
        body += [(code, 0, 1, value), matched]
    return [*body, otherwise]


def has_seccomp() -> bool:
    """Whether this kernel takes filters, and this module knows the machine's numbers. Changes nothing."""
    if not sys.platform.startswith("linux") or platform.machine() not in AUDIT_ARCH:
        return False
    action = ctypes.c_uint32(fail(0)[3])
    try:  # SECCOMP_GET_ACTION_AVAIL: would it know "fail with an errno"?
        return syscall(number_of("seccomp", platform.machine()), 2, 0, ctypes.byref(action)) == 0
    except OSError:
        return False


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def compile_filter(level: Level) -> bytes:
    """The filter of a level for this machine, with a mark where :func:`install` writes the process id.

    Raises
    ------
    NotAvailableError
        This machine takes no filters.
    """
    machine = platform.machine()
    if not has_seccomp():
        raise NotAvailableError(f"no system-call filters (seccomp) on {sys.platform} {machine}: use limits only.")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in assemble(rules(level, PID_MARK), machine))


def install(filter_code: bytes) -> None:
    """Filter the system calls of all threads of this process from now on, for good.

    Needs ``PR_SET_NO_NEW_PRIVS`` (:func:`.limits.drop_privileges`).
    """
    code = filter_code.replace(struct.pack("=I", PID_MARK), struct.pack("=I", os.getpid()))
    program = _Program(len(code) // struct.calcsize("=HBBI"), code)
    set_filter, all_threads = 1, 1  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
    syscall(number_of("seccomp", platform.machine()), set_filter, all_threads, ctypes.byref(program))
