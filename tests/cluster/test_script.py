"""Job scripts: read line by line, checked by bash, and run with commands that only note what they get."""

import itertools
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cluster import script as scripts
from labkit.cluster.death import DEATH_NOTES, GUARD
from labkit.cluster.options import BATCH_KINDS, ClusterOptions
from labkit.cluster.schedulers.pbs import Pbs
from labkit.cluster.script import engine_script, job_script, world_command
from labkit.errors import UsageError

ODD = "a b'c$HOME`id`&;#*(ä)"  # a folder may be called so
WORDS = ["/bin/sh", "-c", GUARD, "rank", "it's", 'a "b"', "$HOME", "`id`", "", "a\nb", "*", "--x=y z"]

# Stands for srun and mpiexec: notes its words and environment, and runs the command once, as a rank.
LAUNCHER = f"""#!{sys.executable}
import json, os, sys
note = {{"words": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ), "me": sys.argv[0]}}
json.dump(note, open(os.environ["NOTES"] + "/launch.json", "w"))
"""
MODULE = """module() {
    [ "$1 $2" = "load broken" ] && { echo "ERROR: Unable to locate a modulefile" >&2; return 1; }
    echo "$*" >>"$NOTES/modules"
    [ "$2" = mpi ] && export PATH="$NOTES/site:$PATH"
    local unset=$NEVER_SET_ANYWHERE  # what modules do: set -u must not be on
    return 0
}
export -f module
"""


class Node:
    """A place to run job scripts in, with only fake launchers on PATH."""

    def __init__(self, root: Path):
        self.notes, self.bin, self.folder = root / "notes", root / "bin", root / ODD
        for folder in (self.notes, self.notes / "site", self.bin, self.folder, self.folder / "deaths"):
            folder.mkdir()
        for launcher in (self.bin / "srun", self.bin / "mpiexec", self.notes / "site/mpiexec"):
            self.command(launcher, LAUNCHER)

    def command(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def environment(self, name="env y'z", conda=False):
        """A venv, or an environment of conda."""
        folder = self.notes.parent / name
        (folder / "bin").mkdir(parents=True)
        self.command(folder / "bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        self.command(folder / "bin/mpiexec", LAUNCHER)
        if conda:
            (folder / "conda-meta").mkdir()
        else:  # as venv writes it, where unset variables matter
            path = shlex.quote(str(folder / "bin"))
            (folder / "bin/activate").write_text(f'x=$NEVER_SET_ANYWHERE\nexport VIRTUAL_ENV=1 PATH={path}":$PATH"\n')
        return folder

    def run(self, text, **environment):
        path = self.folder / "job.sh"
        path.write_text(text)
        # as a scheduler would start it: little environment; the system's folders for hostname and the like
        clean = {"PATH": f"{self.bin}:/usr/bin:/bin", "NOTES": str(self.notes), "HOME": "/nowhere", **environment}
        start = f"{MODULE}\nbash {shlex.quote(str(path))}"
        return subprocess.run(
            ["bash", "-c", start], env=clean, cwd=self.folder, capture_output=True, text=True, timeout=30
        )

    def launched(self, text, **environment):
        done = self.run(text, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads((self.notes / "launch.json").read_text())

    def engines(self, options, command=WORDS, **more):
        """The script of a cluster, with what the keeper starts for a world in the place of the keeper."""
        text = engine_script(options, folder=self.folder, output="/logs/o.log", **more)
        *lines, keeper = text.splitlines()
        assert shlex.split(keeper) == ["exec", options.python, "-m", "labkit.cluster.keeper", str(self.folder)]
        world = world_command(options, command, more.get("scheduler"))
        lines += [f"export {DEATH_NOTES}={shlex.quote(str(self.folder / 'deaths'))}", f"exec bash -c {shlex.quote(world)}"]
        return "\n".join(lines) + "\n"


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def all_options():
    environments = (None, "/opt/my en'v", "conda activate labkit")
    for kind, environment, modules in itertools.product(BATCH_KINDS, environments, ((), ("gcc/12", "mpi"))):
        for mpi in ("pmi2", "mpiexec") if kind == "slurm" else (None,):
            nodes = None if kind == "sge" else 2
            yield ClusterOptions(kind, num_ranks=4, num_nodes=nodes, environment=environment, modules=modules, mpi=mpi)


def test_every_script_is_bash_and_clean(tmp_path):
    """``bash -n`` for all of them; shellcheck where the machine has it."""
    for number, options in enumerate(all_options()):
        engines = engine_script(options, folder="/shared/a b", start_in="/x y")
        for text in (engines, job_script(options, __file__, ["--size", "a b"])):
            path = tmp_path / f"{number}.sh"
            path.write_text(text)
            done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, timeout=20)
            assert (done.returncode, done.stderr) == (0, ""), options
            if shutil.which("shellcheck"):
                done = subprocess.run(["shellcheck", path], capture_output=True, text=True, timeout=60)
                assert done.returncode == 0, done.stdout


def test_parts_in_their_order(node):
    options = ClusterOptions("slurm", num_ranks=4, modules=("gcc/12",), environment="/opt/env", time=30)
    lines = node.engines(options, ["x"]).splitlines()
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    code = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    assert lines[0] == "#!/bin/bash" and max(directives) < min(code)  # after a command they would not count
    order = ["module load gcc/12", "environment=/opt/env", "set -euo pipefail", "cd ", "exec bash -c 'srun "]
    places = [next(number for number, line in enumerate(lines) if line.startswith(part)) for part in order]
    assert places == sorted(places)
    assert {"#SBATCH --no-requeue", "#SBATCH --output=/logs/o.log", "#SBATCH --time=00:30:00"} <= set(lines)
    world = world_command(options, ["x"])
    assert world == "srun --mpi=pmi2 --kill-on-bad-exit=1 --ntasks=4 x"
    assert f"#   {world.replace(' x', ' ENGINE')}" in lines  # who reads the script sees how ranks are started


def test_the_output_lies_in_the_clusters_folder():
    options = ClusterOptions("slurm")
    text = engine_script(options, folder="/shared/a b")
    assert "#SBATCH --output='/shared/a b/job.log'" in text.splitlines()


@pytest.mark.parametrize("kind", BATCH_KINDS)
def test_the_right_command_with_the_right_environment(node, kind):
    python = node.environment() / "bin/python"
    options = ClusterOptions(kind, num_ranks=3, python=str(python))
    launch = node.launched(node.engines(options, start_in="/nowhere/else"))
    words = launch["words"]
    if kind == "slurm":
        assert launch["me"] == str(node.bin / "srun")
        assert words == ["--mpi=pmi2", "--kill-on-bad-exit=1", "--ntasks=3", *WORDS]
        environment = launch["environment"]
    else:
        assert words[:3] == ["-n", "3", "env"] and words[-len(WORDS) :] == WORDS
        assert launch["me"] == str(python.parent / "mpiexec")  # the one beside python
        environment = dict(word.partition("=")[::2] for word in words[3 : -len(WORDS)])
        assert "LD_LIBRARY_PATH" not in environment
    assert environment[DEATH_NOTES] == str(node.folder / "deaths")
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert [environment[name] for name in scripts.THREAD_VARIABLES] == ["1", "1", "1"]
    assert environment["PATH"].split(":")[0] == str(python.parent)
    assert launch["cwd"] == str(node.folder)


def test_where_the_ranks_start(node, tmp_path):
    wanted = tmp_path / "note book's"
    wanted.mkdir()
    assert node.launched(node.engines(ClusterOptions("slurm"), start_in=wanted))["cwd"] == str(wanted)


def test_the_command_really_arrives(node):
    """A launcher that runs the command: the guard starts it and notes how it ended."""
    node.command(node.bin / "srun", '#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"\n')
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(repr(sys.argv[2:])); sys.exit(7)"
    out = node.notes / "arguments"
    command = ["/bin/sh", "-c", GUARD, "rank", sys.executable, "-c", program, str(out), *WORDS]
    done = node.run(node.engines(ClusterOptions("slurm"), command))
    assert done.returncode == 7 and out.read_text() == repr(WORDS)
    assert [note.read_text() for note in (node.folder / "deaths").iterdir()] == ["7\n"]


def test_threads(node):
    text = node.engines(ClusterOptions("slurm"))
    environment = node.launched(text, SLURM_CPUS_PER_TASK="4", MKL_NUM_THREADS="2")["environment"]
    assert [environment[name] for name in scripts.THREAD_VARIABLES] == ["4", "4", "2"]
    assert environment["SRUN_CPUS_PER_TASK"] == "4"
    assert "SRUN_CPUS_PER_TASK" not in node.launched(text)["environment"]


@pytest.mark.parametrize("conda", [False, True])
def test_environments(node, conda):
    folder = node.environment(conda=conda)
    for kind in ("slurm", "pbs"):
        launch = node.launched(node.engines(ClusterOptions(kind, environment=str(folder))))
        assert launch["environment"]["PATH"].split(":")[0] == str(folder / "bin")
        assert launch["environment"].get("CONDA_PREFIX") == (str(folder) if conda else None)
    assert launch["me"] == str(folder / "bin/mpiexec")


def test_a_line_of_shell_as_environment(node):
    folder = node.environment()
    line = f"source {shlex.quote(str(folder / 'bin/activate'))}"
    assert node.launched(node.engines(ClusterOptions("slurm", environment=line)))["environment"]["VIRTUAL_ENV"] == "1"


def test_the_mpiexec_of_the_modules_wins_over_that_of_the_environment(node):
    """It belongs to the library that the modules load; the other would make worlds of size 1."""
    folder = node.environment()
    options = ClusterOptions("pbs", num_ranks=3, modules=("gcc/12", "mpi"), environment=str(folder))
    launch = node.launched(node.engines(options))
    assert launch["me"] == str(node.notes / "site/mpiexec")
    assert (node.notes / "modules").read_text() == "load gcc/12\nload mpi\n"
    assert launch["environment"]["PATH"].split(":")[0] == str(folder / "bin")  # python is the environment's
    launch = node.launched(node.engines(ClusterOptions("pbs", modules=("mpi",))))
    assert launch["me"] == str(node.notes / "site/mpiexec")


def test_what_is_missing_is_said(node):
    cases = {
        scripts.EXIT_NO_MODULE: (ClusterOptions("slurm", modules=("broken",)), "the module broken cannot be loaded"),
        scripts.EXIT_NO_ENVIRONMENT: (
            ClusterOptions("slurm", environment="/no/where's"),
            "no venv or conda environment /no/where's on",
        ),
        scripts.EXIT_NO_PYTHON: (ClusterOptions("slurm", python="/no/python"), "there is no /no/python on"),
    }
    for status, (options, words) in cases.items():
        done = node.run(node.engines(options))
        assert done.returncode == status and words in done.stderr
    away = engine_script(ClusterOptions("slurm"), folder="/not/shared")
    done = node.run(away)
    assert done.returncode == scripts.EXIT_NO_FOLDER and "/not/shared is not there" in done.stderr
    assert not (node.notes / "launch.json").exists()


def test_a_script_that_fails_in_between_starts_nothing(node):
    shutil.rmtree(node.folder / "deaths")
    (node.folder / "gone").mkdir()
    text = node.engines(ClusterOptions("slurm")).replace("export PYTHONUNBUFFERED", "false\nexport PYTHONUNBUFFERED")
    assert node.run(text).returncode == 1
    assert not (node.notes / "launch.json").exists()


@pytest.mark.parametrize("kind", BATCH_KINDS)
def test_a_script_for_a_file(node, kind):
    file = node.folder / "my program.py"
    file.write_text("print('hello')\n")
    python = str(node.environment() / "bin/python")
    options = ClusterOptions(kind, num_ranks=3, time="2:00", name="sort", python=python)
    text = job_script(options, file, ["--size", "1 000", "$x", "it's"])
    lines = text.splitlines()
    assert lines[0] == "#!/bin/bash" and lines[1] == "# Runs my program.py on 3 MPI ranks."
    submit = {"slurm": "sbatch THIS_FILE", "pbs": "qsub THIS", "lsf": "bsub < THIS", "sge": "qsub THIS"}[kind]
    assert any(submit in line for line in lines[:6])
    assert DEATH_NOTES not in text and "import labkit" not in text  # it stands on its own
    variable = {"slurm": "SLURM_SUBMIT_DIR", "pbs": "PBS_O_WORKDIR", "lsf": "LS_SUBCWD", "sge": "SGE_O_WORKDIR"}[kind]
    launch = node.launched(text, **{variable: "/usr"})
    command = [python, "-m", "mpi4py", str(file), "--size", "1 000", "$x", "it's"]
    assert launch["words"][-len(command) :] == command and launch["cwd"] == "/usr"
    assert launch["me"].endswith("srun" if kind == "slurm" else "mpiexec")


def test_a_script_for_no_file(tmp_path):
    with pytest.raises(UsageError, match="There is no file .*none.py"):
        job_script(ClusterOptions("slurm"), tmp_path / "none.py")
    odd = tmp_path / "a\n#SBATCH --uid=0.py"
    odd.touch()
    with pytest.raises(UsageError, match="one line"):
        job_script(ClusterOptions("slurm"), odd)
    with pytest.raises(UsageError, match="'local' has no scheduler"):
        job_script(ClusterOptions("local"), __file__)


def test_folders_that_cannot_be_written_down():
    for kind, folder in (("slurm", "/a\nb"), ("slurm", "/a'\"b"), ("pbs", "/a:b"), ("lsf", "/a%b"), ("sge", "/a$b")):
        with pytest.raises(UsageError, match="--folder|folder"):
            engine_script(ClusterOptions(kind), folder=folder)


def test_a_scheduler_may_be_given(node):
    text = node.engines(ClusterOptions("pbs", num_ranks=4, num_nodes=2), scheduler=Pbs(torque=True))
    assert "#PBS -l nodes=2:ppn=2" in text.splitlines()
