"""Ranks on hosts over SSH. The fake ssh runs a command on this machine, under the host's name where that is allowed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labkit.cluster.cell import run_cell
from labkit.cluster.death import PRINTED_NOTE, keep_printed_notes, read_death_notes
from labkit.cluster.engines import ssh_check
from labkit.cluster.engines.ssh import SSHEngines
from labkit.cluster.options import ClusterOptions
from labkit.cluster.outcome import Listener
from labkit.errors import CellInterruptedError, EnginesError, NotAvailableError, RankDiedError, UsageError

sys.path.insert(0, str(Path(__file__).parent))
from fake_cluster import CHECKOUT, tagged, until, write_program  # noqa: E402

# A login has an environment of its own, and what runs there does not end with ssh.
SSH = """\
#!/bin/bash
echo "$*" | head -n 1 >>{folder}/calls
batch=
while [ $# -gt 0 ]; do
    case $1 in
        -o) case $2 in BatchMode=yes) batch=1 ;; esac; shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
host=${{1#*@}}
shift
case $host in
    down) echo "ssh: connect to host down port 22: No route to host" >&2; exit 255 ;;
    hung) exec sleep 600 ;;
    locked)
        if [ -z "$batch" ]; then exec sleep 600; fi # it asks for a password
        echo "me@locked: Permission denied (publickey,password)." >&2
        exit 255
        ;;
esac
login=(env -i HOME={folder}/home PATH=/usr/bin:/bin USER=someone PYTHONPATH={checkout} FAKE_TEST={folder} bash -c "$*")
if unshare --uts true 2>/dev/null; then
    setsid -w unshare --uts sh -c 'hostname "$1"; shift; exec "$@"' sh "$host" "${{login[@]}}"
else
    setsid -w "${{login[@]}}"
fi
"""
HAS_NAMES = subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode == 0


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """A folder for the calls of ssh; all that was started is gone in the end."""
    write_program(tmp_path / "bin" / "ssh", SSH.format(folder=tmp_path, checkout=CHECKOUT))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("FAKE_TEST", str(tmp_path))
    yield tmp_path
    until(lambda: not tagged("FAKE_TEST", tmp_path))


def engines_on(*hosts, num_ranks=2, **options):
    return SSHEngines(ClusterOptions("ssh", hosts=hosts, num_ranks=num_ranks, **options))


def values(engines, source):
    outcome = run_cell(engines, source, listener=Listener())
    return [bundle["data"]["text/plain"] for _, bundle in sorted(outcome.results.items())]


@pytest.mark.mpi
def test_cells_on_two_hosts(hosts):
    engines = engines_on("alpha", "me@beta", num_ranks=3, ranks_per_node=2)
    said = []
    try:
        engines.start(3, said.append)
        assert values(engines, "comm.allreduce(comm.rank)") == ["3"] * 3
        places = values(engines, "import platform; platform.node()")
        if HAS_NAMES:
            assert places == ["'alpha'", "'alpha'", "'beta'"]
            assert said[-1].startswith("3 MPI ranks started on 2 hosts (alpha, beta)")
        calls = (hosts / "calls").read_text().splitlines()
        assert len(calls) == 4  # a question and a start for each host
        assert all("-o BatchMode=yes -o ConnectTimeout=10" in call for call in calls)
        key = next(Path(engines._directory).glob("security/*-engine.json")).read_text().split('"key": "')[1].split('"')[0]
        assert key not in "\n".join(calls)  # command lines can be seen by all users of a machine
        assert Path(engines._directory).stat().st_mode & 0o777 == 0o700
        directory = engines._directory
        engines.end_ranks()
        engines.start(2)  # fewer
        assert values(engines, "comm.size") == ["2", "2"]
    finally:
        engines.stop()
    assert not Path(directory).exists()
    until(lambda: not tagged("FAKE_TEST", hosts))


@pytest.mark.mpi
def test_a_rank_that_dies_is_named_though_no_folder_is_shared(hosts):
    engines = engines_on("alpha", "beta")
    try:
        for cell, words in [
            ("if comm.rank == 1: os._exit(3)", "rank 1 ended its process with exit code 3"),
            ("if comm.rank == 0: os.kill(os.getpid(), 9)", "rank 0 was ended by signal 9"),
            ("if comm.rank == 1: comm.Abort(5)", r"rank 1 called MPI Abort\(5\)"),
        ]:
            engines.start(2)
            with pytest.raises(RankDiedError, match=words):
                run_cell(engines, f"import os\n{cell}\ncomm.barrier()", listener=Listener())
            assert engines.ranks == []
    finally:
        engines.stop()


@pytest.mark.mpi
def test_interrupt_reaches_the_hosts_and_variables_stay(hosts):
    engines = engines_on("alpha", "beta")
    try:
        engines.start(2)
        begun = threading.Event()

        def interrupt():
            begun.wait(60)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(CellInterruptedError):
            run_cell(
                engines, "x = comm.rank\nprint('begun', flush=True)\nimport time\nwhile True: time.sleep(0.05)",
                listener=Listener(text=lambda rank, stream, text: begun.set()),
            )
        thread.join()
        assert values(engines, "x") == ["0", "1"]
    finally:
        engines.stop()


@pytest.mark.mpi
def test_nothing_is_left_on_the_hosts_when_the_notebook_is_killed(hosts):
    code = (
        "import time\nfrom labkit.cluster.engines.ssh import SSHEngines\nfrom labkit.cluster.options import ClusterOptions\n"
        "engines = SSHEngines(ClusterOptions('ssh', hosts=('alpha', 'beta'), num_ranks=2))\nengines.start(2)\n"
        "print(engines._directory, flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        directory = process.stdout.readline().strip()
        assert Path(directory).is_dir() and len(tagged("FAKE_TEST", hosts)) > 5
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    until(lambda: not tagged("FAKE_TEST", hosts), 15)  # before the engines notice by themselves, after 25 s
    assert not Path(directory).exists()


@pytest.mark.parametrize(
    ("host", "options", "message"),
    [
        ("down", {}, "Host down cannot be reached by ssh: ssh: connect to host down port 22: No route to host.*try ssh down true"),
        ("locked", {}, "Host locked cannot be reached by ssh: .*Permission denied.*ssh-copy-id locked"),
        ("hung", {}, "Host hung did not answer within 3 s"),
        ("beta", {"python": "/no/such/python"}, "lacks the environment: .*/no/such/python.*--python or --environment"),
        ("beta", {"python": "/usr/bin/false"}, "lacks the environment: it printed nothing"),
        ("beta", {"environment": "/no/such/venv"}, "lacks the environment: .*no venv or conda environment /no/such/venv"),
    ],
)
def test_a_host_that_cannot_be_used_is_one_sentence(hosts, monkeypatch, host, options, message):
    monkeypatch.setattr(ssh_check, "ANSWER_TIMEOUT_S", 3.0 if host == "hung" else 30.0)
    engines = engines_on("alpha", host, **options)
    with pytest.raises(EnginesError, match=message):
        engines.start(2)
    assert engines._client is None and engines._directory is None


def test_mpi_that_is_elsewhere_on_a_host_is_told(hosts, monkeypatch, tmp_path):
    write_program(tmp_path / "elsewhere" / "mpiexec", "#!/bin/sh\nexit 1\n")
    monkeypatch.setattr("labkit.cluster.engines.ssh.find_mpiexec", lambda: str(tmp_path / "elsewhere" / "mpiexec"))
    with pytest.raises(EnginesError, match="Host alpha has no .*/elsewhere/hydra_pmi_proxy"):
        engines_on("alpha").start(2)


def test_a_hanging_host_can_be_interrupted(hosts, monkeypatch):
    monkeypatch.setattr(ssh_check, "ANSWER_TIMEOUT_S", 1000.0)  # the deadline of the test is sooner
    timer = threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engines_on("hung", "alpha").start(2)
    timer.join()


def test_no_ssh_here(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailableError, match="no ssh on this machine"):
        engines_on("alpha").start(2)


@pytest.mark.parametrize("number", [0, 1000])
def test_impossible_numbers_are_refused(number):
    with pytest.raises(UsageError, match=f"-n {number}: between 1 and 256"):
        engines_on("alpha").start(number)


def test_notes_are_found_in_what_mpiexec_printed(tmp_path):
    output = (
        f"a word without newline{PRINTED_NOTE} n1-11 9\n{PRINTED_NOTE} n2.site.org-11 3\nnoise {PRINTED_NOTE}\n"
        f"{PRINTED_NOTE} ../x-1 3\n{PRINTED_NOTE} n1-12.abort 7\n"
    )
    (tmp_path / "notes").mkdir()
    ranks = {("n1", 11): 0, ("n2.site.org", 11): 1, ("n1", 12): 2}
    keep_printed_notes(output.split("noise")[0], tmp_path / "notes")
    assert read_death_notes(tmp_path / "notes", ranks)[0] == 0  # the first that was printed
    keep_printed_notes(output, tmp_path / "notes")
    assert read_death_notes(tmp_path / "notes", ranks) == (2, "called MPI Abort(7)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes"]
    assert len(list((tmp_path / "notes").iterdir())) == 3
