"""The filter: its numbers against the kernel's headers, its program run by an interpreter, for both machines."""

import errno
import re
import sys
from pathlib import Path

import pytest

from labkit.grading.confinement import seccomp
from labkit.grading.confinement.seccomp import Level, assemble, rules
from labkit.grading.confinement.syscalls import ALLOWED_COMMON, AUDIT_ARCH, NUMBERS

HEADERS = {
    "x86_64": ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"],
    "aarch64": ["/usr/include/asm-generic/unistd.h"],
}
ALLOWED, KILLED = "allowed", "killed"


@pytest.mark.parametrize("machine", list(HEADERS))
def test_numbers(machine):
    """Every number is the kernel's own; a dash means that the kernel has none."""
    paths = [Path(path) for path in HEADERS[machine] if Path(path).exists()]
    if not paths:
        pytest.skip(f"no kernel header with the numbers of {machine} here: apt install linux-libc-dev")
    defined = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", paths[0].read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in defined if name != "syscalls"}
    assert {name: numbers.get(name) for name in NUMBERS} == {name: each[machine] for name, each in NUMBERS.items()}
    newest = max(numbers.values())
    known = {name: number for name, number in ALLOWED_COMMON.items() if number <= newest}
    assert known == {name: numbers[name] for name in known}


def run(program, number, arguments=(), arch=AUDIT_ARCH["x86_64"]):
    """An interpreter of BPF, as its manual describes it: what the filter says about one call."""
    data = {0: number, 4: arch}
    for position, value in enumerate([*arguments, *[0] * (6 - len(arguments))]):
        data[16 + 8 * position], data[20 + 8 * position] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    accumulator, at = None, 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        if code == 0x20:  # load a word
            accumulator = data[constant]
        elif code == 0x06:  # return
            return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}.get(constant) or errno.errorcode[constant & 0xFFFF]
        else:  # jump if equal, greater or equal, or any bit set
            taken = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: accumulator & constant}[code]
            at += if_true if taken else if_false


CASES = [
    # name, arguments, outcome
    ("openat", (-100, 0, 0), ALLOWED), ("openat", (-100, 0, 0o2000000), ALLOWED), ("openat", (-100, 0, 1), "EPERM"),
    ("openat", (-100, 0, 2), "EPERM"), ("openat", (-100, 0, 0o100), "EPERM"), ("openat", (-100, 0, 0o1000), "EPERM"),
    ("open", (0, 0), ALLOWED), ("open", (0, 1), "EPERM"), ("creat", (), "EPERM"), ("unlinkat", (), "EPERM"),
    ("clone", (0x3D0F00,), ALLOWED), ("clone", (17,), "EPERM"), ("clone", (0x4100,), "EPERM"), ("fork", (), "EPERM"),
    ("kill", (4321, 9), ALLOWED), ("kill", (1, 9), "EPERM"), ("kill", (-1, 9), "EPERM"), ("kill", (0, 9), "EPERM"),
    ("tgkill", (4321, 4322, 6), ALLOWED), ("tgkill", (4320, 4320, 6), "EPERM"), ("tkill", (4321, 6), "EPERM"),
    ("prlimit64", (0, 7, 0), ALLOWED), ("prlimit64", (0, 7, 0x7F00_0000_0000), "EPERM"),
    ("prlimit64", (0, 7, 64), "EPERM"),
    ("prctl", (15,), ALLOWED), ("prctl", (4, 1), "EPERM"), ("fcntl", (3, 1), ALLOWED), ("fcntl", (3, 8), "EPERM"),
    ("fcntl", (3, 10), "EPERM"), ("fcntl", (3, 15), "EPERM"), ("ioctl", (0, 0x5401), ALLOWED),
    ("ioctl", (0, 0x5412), "EPERM"), ("execve", (), "EPERM"), ("socket", (), "EPERM"),
    ("process_vm_readv", (), "EPERM"),
]


@pytest.mark.parametrize("machine", list(AUDIT_ARCH))
@pytest.mark.parametrize("level", list(Level))
def test_program(machine, level):
    program = assemble(rules(level, 4321), machine)
    arch = AUDIT_ARCH[machine]
    assert len(program) < 4096  # the kernel's limit
    assert all(0 <= field < 256 for instruction in program for field in instruction[1:3])
    for name, arguments, outcome in CASES:
        number = NUMBERS[name][machine]
        if number is not None:
            assert run(program, number, arguments, arch) == outcome, (name, arguments)
    for name, numbers in NUMBERS.items():
        if numbers[machine] is not None and name not in {each[0] for each in CASES}:
            free = level is Level.REAL_RANK and name in seccomp.ANSWER_ONLY.split()
            assert run(program, numbers[machine], (), arch) == (ALLOWED if free else "EPERM"), name
    assert {run(program, number, (), arch) for number in ALLOWED_COMMON.values()} == {ALLOWED}
    refused = [number for number in range(424, 600) if number not in ALLOWED_COMMON.values()]
    assert {run(program, number, (), arch) for number in refused} == {"ENOSYS"}  # clone3, openat2, io_uring, ...
    assert run(program, 1, (), arch=0x40000003) == KILLED  # the 32-bit interface
    if machine == "x86_64":
        assert run(program, 0x40000000 | 2) == "EPERM"  # x32
        assert run(program, 0) == run(program, 1) == run(program, 9) == run(program, 202) == ALLOWED


def test_mark_is_not_in_rules():
    """The mark for the process id stands where the id belongs, twice, and nowhere else."""
    if not seccomp.has_seccomp():
        pytest.skip("no system-call filters here: Linux on x86_64 or aarch64")
    assert seccomp.compile_filter(Level.ANSWER).count(seccomp.PID_MARK.to_bytes(4, sys.byteorder)) == 2
