"""Commands in the sandbox: what they see, what they inherit, when they end; MPI ranks in it."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit.errors import UsageError
from labkit.grading.confinement.sandbox import Sandbox, command, find_sandbox
from labkit.hardware.messages import find_mpiexec

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bubblewrap is for Linux")
DEADLINE_S = 60
BUBBLEWRAP = Sandbox(bubblewrap=True, seccomp=True, landlock=True)
LIMITS = Sandbox(bubblewrap=False, seccomp=False, landlock=False)


def run(program, scratch, sandbox, **options):
    argv = command([sys.executable, "-c", program], scratch=scratch, sandbox=sandbox, **options)
    done = subprocess.run(argv, cwd=scratch, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_text(monkeypatch):
    monkeypatch.delenv("LABKIT_SANDBOX", raising=False)
    assert BUBBLEWRAP.text == "bubblewrap, landlock, seccomp, limits"
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert LIMITS.text == "limits only (for more: apt install bubblewrap)"
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/bwrap")
    assert LIMITS.text == "limits only (bubblewrap is installed but may not make user namespaces here)"
    monkeypatch.setattr("sys.platform", "darwin")
    assert LIMITS.text == "limits only"


def test_lowered(monkeypatch):
    monkeypatch.delenv("LABKIT_SANDBOX", raising=False)
    full = find_sandbox()
    monkeypatch.setenv("LABKIT_SANDBOX", "no-bubblewrap")
    assert find_sandbox() == Sandbox(False, full.seccomp, full.landlock)
    monkeypatch.setenv("LABKIT_SANDBOX", "limits")
    assert find_sandbox() == LIMITS
    assert find_sandbox().text == ("limits only (LABKIT_SANDBOX=limits)" if sys.platform == "linux" else "limits only")
    monkeypatch.setenv("LABKIT_SANDBOX", "none")
    with pytest.raises(UsageError, match="LABKIT_SANDBOX='none' must be"):
        find_sandbox()


@LINUX
def test_view(require, tmp_path):
    """It sees labkit and not the folder around it, nor other files, nor hidden ones; it writes in scratch only."""
    require(["bubblewrap"])
    scratch, shown, other = tmp_path / "scratch", tmp_path / "shown", tmp_path / "other"
    for folder in (scratch, shown / "secret", other):
        folder.mkdir(parents=True)
    (shown / "secret" / "file").write_text("x")
    (shown / "file").write_text("x")
    (shown / "single").write_text("secret")
    package = Path(labkit.__file__).parent
    program = f"""
import os, pathlib
print(sorted(os.listdir({str(tmp_path)!r})), sorted(os.listdir({str(shown)!r})), os.listdir({str(shown / 'secret')!r}))
try:
    print(repr(open({str(shown / 'single')!r}).read()))
except PermissionError:
    print('refused')
print(sorted(set(os.listdir({str(package.parent)!r})) - {{{Path(sys.prefix).name!r}}}) if {str(package.parent)!r} != {sys.prefix!r} else ['labkit'])
print(os.listdir({str(package / 'mpi')!r}))
pathlib.Path('result').write_text('y')
for folder in ({str(shown)!r}, {str(shown / 'secret')!r}, {str(package)!r}, '/usr'):
    try:
        pathlib.Path(folder, 'new').write_text('y')
    except OSError:
        print('refused')
"""
    lines = run(
        program, scratch, BUBBLEWRAP, readable=[shown], hidden=[shown / "secret", shown / "single", package / "mpi"]
    ).splitlines()
    assert lines[0] == "['scratch', 'shown'] ['file', 'secret', 'single'] []"
    assert lines[1] == "refused"
    if "site-packages" not in str(package):
        assert lines[2] == "['labkit']"
    assert lines[3] == "[]"
    assert lines[4:] == ["refused"] * 4
    assert (scratch / "result").read_text() == "y"


@LINUX
@pytest.mark.parametrize("sandbox", [BUBBLEWRAP, LIMITS], ids=["bubblewrap", "limits"])
def test_environment(require, sandbox, tmp_path, monkeypatch):
    require(["bubblewrap"] if sandbox.bubblewrap else [])
    monkeypatch.setenv("A_SECRET_TOKEN", "swordfish")
    found = run("import os; print(dict(os.environ), os.getcwd())", tmp_path, sandbox)
    assert "swordfish" not in found
    assert "'OMP_NUM_THREADS': '1'" in found
    assert f"'HOME': '{tmp_path}'" in found
    assert found.endswith(str(tmp_path))


@LINUX
@pytest.mark.parametrize("sandbox", [BUBBLEWRAP, LIMITS], ids=["bubblewrap", "limits"])
def test_inherited_socket(require, sandbox, tmp_path):
    require(["bubblewrap"] if sandbox.bubblewrap else [])
    ours, theirs = socket.socketpair()
    program = f"import socket; s = socket.socket(fileno={theirs.fileno()}); s.sendall(s.recv(9)[::-1])"
    argv = command([sys.executable, "-c", program], scratch=tmp_path, sandbox=sandbox)
    with ours, subprocess.Popen(argv, cwd=tmp_path, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.settimeout(DEADLINE_S)
        ours.sendall(b"abc")
        assert ours.recv(9) == b"cba"
        assert process.wait(DEADLINE_S) == 0


@LINUX
def test_ends_with_its_parent(require, tmp_path):
    """When the judge is killed, everything in the sandbox ends: the last copy of the pipe closes."""
    require(["bubblewrap"])
    reader, writer = os.pipe()
    inside = f"import os, time\nos.fork()\nos.write({writer}, b'x')\ntime.sleep(2 * {DEADLINE_S})"
    argv = command([sys.executable, "-c", inside], scratch=tmp_path, sandbox=BUBBLEWRAP)
    judge = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({argv!r}, pass_fds=[{writer}])"],
        pass_fds=[writer], cwd=tmp_path,
    )
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as stream:
        started = b""
        while len(started) < 2:
            assert select.select([stream], [], [], DEADLINE_S)[0], "the sandbox did not start"
            started += stream.read(9)
        judge.send_signal(signal.SIGKILL)
        judge.wait(DEADLINE_S)
        assert select.select([stream], [], [], DEADLINE_S)[0], "processes outlived the judge"
        assert stream.read(9) == b""


RANK = """
import sys
import numpy as np
from mpi4py import MPI
from pathlib import Path
from labkit.grading.confinement.confine import Level, confine

comm = MPI.COMM_WORLD
confine(Level.REAL_RANK, readable=[Path.cwd()], memory_bytes=1 << 29, cpu_seconds=30)
other = 1 - comm.rank
for n in (0, 1, 1000, 100_000, 1_000_000):  # short ones, long ones, and those that some MPIs copy between processes
    mine, yours, total = np.full(n, float(comm.rank)), np.empty(n), np.empty(n)
    comm.Sendrecv(mine, other, 0, yours, other, 0)
    comm.Allreduce(mine, total)
    assert (yours == other).all() and (total == 1).all()
    requests = [comm.Isend(mine, other, 1), comm.Irecv(yours, other, 1)]
    MPI.Request.Waitall(requests)
    comm.Bcast(total, root=1)
assert comm.sendrecv({"a": comm.rank}, other, source=other) == {"a": other}
part = comm.Split(0, -comm.rank)
assert part.rank == other
part.Free()
refused = []
for attempt in (
    lambda: open("new", "w"), lambda: open(sys.argv[1]), lambda: __import__("os").fork(), lambda: np.ones(1 << 34),
):
    try:
        attempt()
    except PermissionError:
        refused.append("no")
    except MemoryError:
        refused.append("memory")
refused = comm.gather(refused)
if comm.rank == 0:
    print(refused)
"""


@LINUX
@pytest.mark.mpi
@pytest.mark.parametrize("lowered", ["", "no-bubblewrap", "limits"])
def test_mpiexec(require, lowered, tmp_path, monkeypatch):
    require(["bubblewrap"] if not lowered else [])
    monkeypatch.setenv("LABKIT_SANDBOX", lowered)
    scratch, secret = tmp_path / "scratch", tmp_path / "secret"
    scratch.mkdir()
    secret.write_text("swordfish")
    (scratch / "rank.py").write_text(RANK)
    argv = command([find_mpiexec(), "-n", "2", sys.executable, "rank.py", str(secret)], scratch=scratch)
    done = subprocess.run(
        argv, cwd=scratch, capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([["no", "no", "no", "memory"]] * 2)
    assert done.stderr == ""
    assert [path.name for path in scratch.iterdir()] == ["rank.py"]
