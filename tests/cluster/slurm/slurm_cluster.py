"""The test cluster as an object: commands of its users on its hosts, and its accidents."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("test-cluster.sh")
USERS = ("labkit-a", "labkit-b")


def why_not():
    """What is missing for a cluster on this machine and how to get it, or None."""
    if os.getuid() != 0:
        return "the Slurm test cluster needs root (it makes namespaces): run the tests as root, or in a container"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = {
        "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "munged": "munge", "ip": "iproute2", "unshare": "util-linux",
        "nsenter": "util-linux", "setpriv": "util-linux", "flock": "util-linux",
    }
    missing = {
        package for program, package in packages.items()
        if not any(os.access(os.path.join(folder, program), os.X_OK) for folder in path.split(":") if folder)
    }
    if missing:
        return f"no Slurm for the test cluster: sudo apt install {' '.join(sorted(missing))}"
    probe = ["unshare", "--net", "--uts", "--ipc", "--pid", "--mount", "--fork", "--mount-proc", "true"]
    done = subprocess.run(probe, capture_output=True, text=True)
    if done.returncode != 0:
        return f"no namespaces here ({done.stderr.strip()}): run the tests in a container with --privileged"
    return None


class HostProcess(subprocess.Popen):
    """A command on a host. Its ``pid`` is that of the process that waits for it outside."""

    def signal(self, number=signal.SIGINT):
        """Send a signal to the command itself, as ``kill`` on the host would; ``send_signal`` ends its keeper."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.poll() is None:
            # Until then it is the shell script, whose children are its own.
            if Path(f"/proc/{self.pid}/comm").read_text().strip() == "nsenter":
                inner = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
                if inner:
                    os.kill(int(inner[0]), number)
                    return
            time.sleep(0.02)
        raise ProcessLookupError(f"{self.args} is not running")

    def end(self):
        """Kill the command and what it started in its own process group; wait for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                stream.close()


class SlurmCluster:
    """A controller ``ctl`` and nodes ``n1``, ``n2``, with 4 CPUs each.

    Attributes
    ----------
    users : tuple of str
        Names of the normal users.
    scratch : Path
        A folder that all users write and all hosts see.
    python : Path
        Interpreter of the environment that the users share; its programs are on their PATH.
    """

    users = USERS

    def __init__(self, folder, python, lock, num_nodes=2):
        self.folder = Path(folder)
        self.python = Path(python)
        self.scratch = self.folder / "scratch"
        self.hosts = ("ctl", *(f"n{number}" for number in range(1, num_nodes + 1)))
        self.crashed: set[str] = set()
        self.away: set[str] = set()  # their cables are cut
        self.processes: list[HostProcess] = []
        self._outside = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "CLUSTER_DIR": str(self.folder),
            "CLUSTER_LOCK": str(lock),
            "CLUSTER_USERS": " ".join(self.users),
        }

    def home(self, user):
        return self.folder / "home" / user

    def verb(self, *words, timeout=60):
        """Run a verb of test-cluster.sh and return what it printed."""
        with tempfile.TemporaryFile("w+") as printed:  # a pipe would stay open as long as the daemons live
            done = subprocess.run([SCRIPT, *words], stdin=subprocess.DEVNULL, stdout=printed, stderr=printed,
                                  env=self._outside, cwd="/", timeout=timeout)
            printed.seek(0)
            text = printed.read()
        assert done.returncode == 0, f"test-cluster.sh {' '.join(words)}: {text}"
        return text

    # --- commands -----------------------------------------------------------------------------------------------

    def popen(self, user, host, *command, env=None, cwd=None, **options):
        """Start a command as a user (or root) on a host; output goes to one text pipe unless ``options`` say else."""
        environment = self._outside | {
            "PATH": f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            **(env or {}),
        }
        settings = {
            "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True,
        } | options
        cwd = cwd or (self.home(user) if user in self.users else "/")
        process = HostProcess([str(word) for word in (SCRIPT, "as", user, host, *command)],
                              env=environment, cwd=cwd, start_new_session=True, **settings)
        self.processes.append(process)
        return process

    def as_user(self, user, host, *command, timeout=60, env=None, cwd=None, input=None, check=False):
        """Run a command to its end.

        Returns
        -------
        subprocess.CompletedProcess
            With texts ``stdout`` and ``stderr``. Daemons that the command leaves behind do not delay it.

        Raises
        ------
        TimeoutError
            After ``timeout`` seconds, with what it had printed; it has been killed.
        AssertionError
            With ``check``, if it failed, with what it printed.
        """
        with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as out, \
                tempfile.TemporaryFile("w+") as err:
            given.write(input or "")
            given.seek(0)
            process = self.popen(user, host, *command, env=env, cwd=cwd, stdin=given, stdout=out, stderr=err)
            late = False
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                late = True
            finally:
                process.end()
                self.processes.remove(process)
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())
        said = f"{' '.join(map(str, command))} on {host}, exit status {done.returncode}:\n{done.stdout}{done.stderr}"
        if late:
            raise TimeoutError(f"not done after {timeout} s: {said}")
        assert not check or done.returncode == 0, said
        return done

    def as_root(self, host, *command, **options):
        return self.as_user("root", host, *command, **options)

    def wait_until(self, question, timeout=60, what=""):
        """Ask until the answer is true; return it."""
        deadline = time.monotonic() + timeout
        while not (answer := question()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what or question} is not so after {timeout} s\n{self.verb('status')}")
            time.sleep(0.1)
        return answer

    # --- jobs ---------------------------------------------------------------------------------------------------

    def submit(self, user, *arguments, cwd=None):
        """``sbatch`` with these arguments: the number of the job."""
        done = self.as_user(user, "ctl", "sbatch", "--parsable", *arguments, check=True, cwd=cwd)
        return done.stdout.strip().split(";")[0]

    def state(self, job):
        """Slurm's word for the state of a job: PENDING, RUNNING, COMPLETED, TIMEOUT, NODE_FAIL and so on."""
        question = ("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")
        return self.as_root("ctl", *question).stdout.strip()

    def wait_state(self, job, *states, timeout=60):
        return self.wait_until(lambda: (now := self.state(job)) in states and now, timeout, f"job {job} {states}")

    def expire(self, job):
        """Let a job's time be up now. The controller looks once in 30 s, then ends it as any job over its limit."""
        self.as_root("ctl", "scontrol", "update", f"JobId={job}", "EndTime=now", check=True)

    def save(self, job):
        """Wait until slurmctld, which writes some seconds late, has a job on disk: a crash loses the others."""
        mark = f"saved-{time.time_ns()}"
        self.as_root("ctl", "scontrol", "update", f"JobId={job}", f"Comment={mark}", check=True)
        state = self.folder / "state" / "job_state"
        self.wait_until(lambda: state.exists() and mark.encode() in state.read_bytes(), 30, f"job {job} saved")

    # --- accidents ----------------------------------------------------------------------------------------------

    def crash(self, host):
        self.verb("crash", host)
        self.crashed.add(host)

    def boot(self, host):
        self.verb("boot", host)
        self.crashed.discard(host)
        self.away.discard(host)

    def cut(self, host):
        self.verb("cut", host)
        self.away.add(host)

    def mend(self, host):
        self.verb("mend", host)
        self.away.discard(host)

    def node_states(self):
        """Slurm's word for each node: idle, mixed, allocated, down ..., with * while it does not respond."""
        lines = self.as_root("ctl", "sinfo", "--noheader", "--Node", "--partition=debug", "--format=%N %T").stdout
        return dict(line.split() for line in lines.splitlines())

    def heal(self, timeout=90):
        """Boot what crashed, mend what was cut, and wait until Slurm has all nodes again."""
        if not self.crashed and not self.away:
            return
        for host in sorted(self.crashed):
            self.boot(host)
        for host in sorted(self.away):
            self.mend(host)
        self.wait_until(self.nodes_usable, timeout, "all nodes usable")

    def nodes_usable(self):
        states = self.node_states()
        for node, state in states.items():
            if state.startswith(("down", "unknown")):
                self.as_root(node, "sh", "-c", "kill -HUP $(cat /run/slurmd.pid)")  # it registers at once
        return len(states) == len(self.hosts) - 1 and set(states.values()) <= {"idle", "mixed", "allocated"}

    def clear(self):
        """End all jobs and all processes of the users, on all hosts; remove what a test that failed has left."""
        self.heal()
        for process in self.processes:
            process.end()
        self.processes.clear()
        for user in self.users:
            self.as_root("ctl", "scancel", f"--user={user}")
        for host in self.hosts:
            for user in self.users:
                self.as_user(user, host, "sh", "-c", "kill -KILL -1", cwd="/")  # all of the user's, on this host
        for user in self.users:
            self.as_user(user, "ctl", "sh", "-c", "rm -rf ~/.labkit/clusters ~/.local/state/labkit/clusters")
        self.wait_until(lambda: set(self.node_states().values()) == {"idle"}, 60, "all nodes idle")
