"""Job scripts: of the MPI ranks of a cluster, and of a Python file that runs on its own.

The parts of a script, in this order: directives for the scheduler, modules, the environment, strict
settings of bash (only here, since start-up files of sites rarely bear them), variables, the launch.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from labkit.cluster.death import DEATH_NOTES
from labkit.cluster.option_checks import check_text
from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import Scheduler, find_scheduler
from labkit.errors import UsageError

# Exit statuses of a script that could not start its ranks; its output says the same in words.
EXIT_NO_MODULE = 65
EXIT_NO_ENVIRONMENT = 66
EXIT_NO_FOLDER = 67
EXIT_NO_PYTHON = 68

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SUBMIT_FOLDER = {"slurm": "SLURM_SUBMIT_DIR", "pbs": "PBS_O_WORKDIR", "lsf": "LS_SUBCWD", "sge": "SGE_O_WORKDIR"}
_COMMANDS = {  # submit, watch, stop
    "slurm": ("sbatch", "squeue --me", "scancel JOB"),
    "pbs": ("qsub", "qstat -u $USER", "qdel JOB"),
    "lsf": ("bsub <", "bjobs", "bkill JOB"),
    "sge": ("qsub", "qstat", "qdel JOB"),
}


def engine_script(
    options: ClusterOptions,
    *,
    folder: str | os.PathLike,
    start_in: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    scheduler: Scheduler | None = None,
) -> str:
    """The batch script of a cluster: it prepares the software and hands over to :mod:`labkit.cluster.keeper`.

    Parameters
    ----------
    options : ClusterOptions
        Of a kind with a scheduler.
    folder : path
        The cluster's folder, on a file system that the nodes share.
    start_in : path, optional
        Where the ranks start, if the nodes have it; else in ``folder``.
    output : path, optional
        The file of all output; ``job.log`` in ``folder`` by default.
    scheduler : Scheduler, optional
        The one of ``options.kind`` by default.

    Raises
    ------
    UsageError
        An option or a path cannot be written in a script of this scheduler.
    """
    scheduler = find_scheduler(options.kind) if scheduler is None else scheduler
    shared = check_text("folder", os.fspath(folder))
    log = check_text("output", os.path.join(shared, "job.log") if output is None else os.fspath(output))
    wanted = [] if start_in is None else [f"cd {shlex.quote(os.fspath(start_in))} 2>/dev/null || "]
    lines = [
        "#!/bin/bash",
        f"# Made by labkit: the {options.num_ranks} MPI ranks of the cluster {options.name}.",
        "# labkit submits and stops this job; to stop it by hand: "
        f"{_COMMANDS[scheduler.name][2].replace('JOB', 'and its id')}",
        "",
        *scheduler.directives(options, log),
        "",
        *module_lines(options),
        *environment_lines(options),
        "set -euo pipefail",
        "",
        *_folder_check(shared),
        f"{''.join(wanted)}cd {shlex.quote(shared)}",
        "",
        *variable_lines(options, scheduler),
        *_python_check(options),
        "# Start ranks as often as the notebook asks for them, on the nodes of this job:",
        *(f"#   {line}" for line in launch_lines(options, scheduler, ["ENGINE"])),
        shlex.join(["exec", options.python, "-m", "labkit.cluster.keeper", shared]),
    ]
    return "\n".join(lines) + "\n"


def world_command(options: ClusterOptions, command: Sequence[str], scheduler: Scheduler | None = None) -> str:
    """The text of shell that starts ``command`` on every rank, inside a job of :func:`engine_script`."""
    scheduler = find_scheduler(options.kind) if scheduler is None else scheduler
    return "\n".join(launch_lines(options, scheduler, command, carried=(DEATH_NOTES,)))


def job_script(
    options: ClusterOptions,
    file: str | os.PathLike,
    arguments: Sequence[str] = (),
    *,
    scheduler: Scheduler | None = None,
) -> str:
    """A plain, commented batch script that runs a Python file on MPI ranks; it needs no labkit.

    Raises
    ------
    UsageError
        There is no such file, or an option cannot be written in a script of this scheduler.
    """
    scheduler = find_scheduler(options.kind) if scheduler is None else scheduler
    path = check_text("FILE.py", os.path.abspath(os.fspath(file)))
    if not os.path.isfile(path):
        raise UsageError(f"There is no file {path}. Give the Python file that the ranks should run.")
    submit, watch, stop = _COMMANDS[scheduler.name]
    ranks = f"{options.num_ranks} MPI rank{'s' if options.num_ranks > 1 else ''}"
    # -m mpi4py: an exception on one rank ends all of them, and they do not wait for it until the time limit
    command = [options.python, "-m", "mpi4py", path, *arguments]
    lines = [
        "#!/bin/bash",
        f"# Runs {os.path.basename(path)} on {ranks}.",
        f"#   submit it:   {submit} THIS_FILE",
        f"#   watch it:    {watch}",
        f"#   stop it:     {stop}",
        "",
        f"# What {scheduler.title} should give: lines that begin with {scheduler.prefix} are options of {submit[:4]}.",
        *scheduler.directives(options),
        "",
        *module_lines(options),
        *environment_lines(options),
        "# From here on a command that fails, or a variable that is not set, ends the job.",
        "set -euo pipefail",
        "",
        "# Relative paths of the program mean the folder that the job was submitted from.",
        f'cd "${{{_SUBMIT_FOLDER[scheduler.name]}:-.}}"',
        "",
        *variable_lines(options, scheduler),
        *_python_check(options),
        "# Start the ranks. -m mpi4py: an exception on one rank ends all of them at once.",
        *launch_lines(options, scheduler, command),
    ]
    return "\n".join(lines) + "\n"


def preparation(options: ClusterOptions) -> list[str]:
    """The lines of bash that load the modules and activate the environment; they end the shell where that fails."""
    return [*module_lines(options), *environment_lines(options)]


def module_lines(options: ClusterOptions) -> list[str]:
    """Lines of shell that load the site's modules."""
    if not options.modules:
        return []
    lines = [
        "# Modules of this site.",
        "if ! type module >/dev/null 2>&1; then",
        "    for init in /etc/profile.d/{lmod,modules,z00_lmod}.sh /usr/share/{lmod/lmod,modules}/init/bash; do",
        "        # shellcheck source=/dev/null",
        '        if [ -r "$init" ]; then . "$init"; break; fi',
        "    done",
        "fi",
    ]
    for module in options.modules:
        name = shlex.quote(module)
        lines.append(
            f"module load {name} || {{ echo {shlex.quote(f'labkit: the module {module} cannot be loaded on')} "
            f'"$(hostname). module avail lists them." >&2; exit {EXIT_NO_MODULE}; }}'
        )
    if options.mpi == "mpiexec" and options.environment is not None:
        lines += [
            "# The mpiexec of the modules and not one of the environment: it has to fit the MPI library.",
            "site_mpiexec=$(type -P mpiexec || true)",
        ]
    return [*lines, ""]


def environment_lines(options: ClusterOptions) -> list[str]:
    """Lines of shell that activate the environment, or put the programs beside python on the PATH."""
    if options.environment is None:
        # without an environment to activate, python's own folder has the mpiexec that belongs to it
        folder = os.path.dirname(options.python)
        if not folder:
            return []
        path = shlex.quote(folder)
        order = f'"$PATH":{path}' if options.modules else f'{path}:"$PATH"'
        return ["# The programs beside python, mpiexec among them.", f"export PATH={order}", ""]
    if not options.environment_is_path:
        return ["# The environment.", options.environment, "", *_site_mpiexec(options)]
    says = shlex.quote(f"labkit: there is no venv or conda environment {options.environment} on")
    return [
        "# The environment: a venv or one of conda.",
        f"environment={shlex.quote(options.environment)}",
        'if [ -r "$environment/bin/activate" ]; then',
        "    # shellcheck source=/dev/null",
        '    . "$environment/bin/activate"',
        'elif [ -d "$environment/conda-meta" ]; then',
        '    if type conda >/dev/null 2>&1; then eval "$(conda shell.bash hook)"; conda activate "$environment"',
        '    else export PATH="$environment/bin:$PATH" CONDA_PREFIX="$environment"; fi',
        "else",
        f'    echo {says} "$(hostname). Give one that the nodes see too." >&2',
        f"    exit {EXIT_NO_ENVIRONMENT}",
        "fi",
        "",
        *_site_mpiexec(options),
    ]


def _site_mpiexec(options: ClusterOptions) -> list[str]:
    if not options.modules or options.mpi != "mpiexec":
        return []
    return [
        'if [ -n "$site_mpiexec" ]; then',
        '    export site_mpiexec; mpiexec() { "$site_mpiexec" "$@"; }; export -f mpiexec',
        "fi",
        "",
    ]


def _folder_check(folder: str) -> list[str]:
    says = shlex.quote(f"labkit: the folder {folder} is not there or not writable on")
    return [
        f"if ! [ -w {shlex.quote(folder)} ]; then",
        f'    echo {says} "$(hostname). Give one that the nodes share: --folder." >&2',
        f"    exit {EXIT_NO_FOLDER}",
        "fi",
    ]


def _python_check(options: ClusterOptions) -> list[str]:
    says = shlex.quote(f"labkit: there is no {options.python} on")
    return [
        f"if ! type -P {shlex.quote(options.python)} >/dev/null; then",
        f'    echo {says} "$(hostname). Give the interpreter of the nodes: --python or --environment." >&2',
        f"    exit {EXIT_NO_PYTHON}",
        "fi",
        "",
    ]


def variable_lines(options: ClusterOptions, scheduler: Scheduler) -> list[str]:
    """Lines of shell that set what libraries and Python read."""
    cores = "${SLURM_CPUS_PER_TASK:-1}" if scheduler.name == "slurm" else "1"
    lines = [
        "# Output arrives line by line; libraries of a rank use the cores of that rank and no more.",
        "export PYTHONUNBUFFERED=1",
        *(f'export {name}="${{{name}:-{cores}}}"' for name in THREAD_VARIABLES),
    ]
    if scheduler.name == "slurm":
        lines.append("# srun no longer takes this from sbatch")
        lines.append('if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"; fi')
    return [*lines, ""]


def launch_lines(
    options: ClusterOptions, scheduler: Scheduler, command: Sequence[str], carried: Sequence[str] = ()
) -> list[str]:
    """Lines of shell that start ``command`` on every rank, with the variables ``carried`` handed on."""
    if options.mpi != "mpiexec":  # srun hands the environment on
        return [scheduler.launch(options, command)]
    # Not every mpiexec hands the environment to other nodes.
    variables = [
        " ".join(f'{name}="${name}"' for name in names)
        for names in (("PATH", "PYTHONUNBUFFERED", *carried), THREAD_VARIABLES)
    ]
    library_path = '${LD_LIBRARY_PATH:+LD_LIBRARY_PATH="$LD_LIBRARY_PATH"}'
    return [
        f"{scheduler.launch(options, [])} \\",
        f"    env {library_path} \\",
        *(f"    {line} \\" for line in variables),
        f"    {shlex.join(command)}",
    ]
