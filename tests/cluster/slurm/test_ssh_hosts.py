"""``%cluster start ssh`` between the hosts of the test cluster: no sshd there, so srun opens the logins."""

import re

import pytest
from notebook_process import Notebook

USER = "labkit-a"
SSH = """\
#!/bin/bash
# ssh [OPTIONS] HOST COMMAND, by way of a step on that host: what runs there knows nothing of Slurm.
while [ $# -gt 0 ]; do case $1 in -o) shift 2 ;; -*) shift ;; *) break ;; esac; done
host=$1
shift
unset "${!SLURM@}"
exec srun --quiet --overlap --oversubscribe --mpi=none --nodes=1 --ntasks=1 --chdir=/ --export=NONE --nodelist="$host" \\
    /bin/bash -c 'unset "${!SLURM@}" "${!PMI@}"; cd; export PATH=/usr/bin:/bin; eval "$1"' bash "$*"
"""


@pytest.fixture
def notebook(slurm):
    ssh = slurm.scratch / "bin" / "ssh"
    ssh.parent.mkdir(exist_ok=True)
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    notebook = Notebook(slurm, USER, env={"PATH": f"{ssh.parent}:{slurm.python.parent}:/usr/bin:/bin"})
    yield notebook
    notebook.end()
    slurm.wait_until(lambda: not slurm.as_root("ctl", "squeue", "-h").stdout.strip(), 60, "no login is left")
    for host in ("n1", "n2"):
        assert slurm.as_root(host, "pgrep", "-u", USER, "-l").stdout == ""


def test_a_cell_on_two_hosts_and_a_rank_that_dies(notebook):
    given = notebook.run("%cluster start ssh -n 4 --hosts n1,n2")
    assert not given.error, given.text
    assert "4 MPI ranks started on 2 hosts (n1, n2)" in given.text
    given = notebook.run("%%mpi\nimport platform\nprint('at', comm.rank, platform.node(), comm.allreduce(comm.rank))")
    assert sorted(re.findall(r"at (\d) (n\d) (\d+)", given.text)) == [
        ("0", "n1", "6"), ("1", "n1", "6"), ("2", "n2", "6"), ("3", "n2", "6"),
    ], given.text
    given = notebook.run("%%mpi\nimport os\nif comm.rank == 3: os._exit(4)\ncomm.barrier()")
    assert given.error == "RankDiedError" and "rank 3 ended its process with exit code 4" in given.message, given.message
    given = notebook.run("%%mpi\nprint('sum', comm.allreduce(1))")
    assert given.text.count("sum 4") == 4, given.text
    given = notebook.run("%%mpi\ncomm.recv(source=(comm.rank + 1) % comm.size)")
    assert given.error == "DeadlockError" and "cycle" in given.message
    given = notebook.run("%cluster stop")
    assert not given.error, given.text


def test_a_host_that_is_down_is_told(notebook):
    given = notebook.run("%cluster start ssh -n 2 --hosts n1,n3")
    assert given.error == "EnginesError" and "Host n3" in given.message, given.message
