"""An environment that normal users can read: the running one, linked into a folder outside of root's home."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: What of the checkout goes along: the package, and what lessons and exercises read.
CHECKOUT = ("labkit", "exercises", "notebooks", "README.md")


def readable_by_all(path):
    """Whether every user can come to ``path`` and execute it."""
    path = Path(path).resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def readable_python():
    """An interpreter of the running version that every user can execute, or None."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys._base_executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if candidate and os.access(candidate, os.X_OK) and readable_by_all(candidate):
            return candidate
    return None


def link_tree(source, target):
    """Copy a folder by hard links (no disk, a second for 50 000 files), or by bytes from another file system."""
    if source.stat().st_dev == target.stat().st_dev:
        command = ["cp", "-al"]
    else:
        command = ["cp", "-a", "--reflink=auto"]
    subprocess.run([*command, f"{source}/.", str(target)], check=True)


def copy_scripts(source, target, python):
    """The programs of an environment: Python scripts get the new interpreter, others (mpiexec) are copied."""
    for path in sorted(source.iterdir()):
        copy = target / path.name
        if copy.exists() or path.is_symlink() or not path.is_file():
            continue  # the interpreter's own names are there already
        content = path.read_bytes()
        first, _, rest = content.partition(b"\n")
        if first.startswith(b"#!") and b"python" in first:
            content = b"#!" + os.fsencode(python) + b"\n" + rest
        copy.write_bytes(content)
        copy.chmod(0o755)


def make_environment(folder, checkout, venv=None):
    """Make ``folder`` an environment with the packages of ``venv`` and a copy of the checkout's labkit.

    Parameters
    ----------
    folder : Path
        New folder in a place that every user can read, best on the file system of ``venv``.
    checkout : Path
        Root of the repository; what is tested is its ``labkit``, not the one installed in ``venv``.
    venv : Path, optional
        Environment to link; the running one unless given.

    Returns
    -------
    Path
        The new environment's interpreter.
    """
    venv = Path(venv or sys.prefix)
    base = readable_python()
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    for part in ("lib", "share", "etc", "include"):
        if (venv / part).is_dir():
            (folder / part).mkdir(exist_ok=True)
            link_tree(venv / part, folder / part)
    copy_scripts(venv / "bin", folder / "bin", python)

    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for editable in packages.glob("__editable__*labkit*"):
        editable.unlink()  # it leads to a checkout that users may be unable to read; this is only our link to it
    project = folder / "project"
    project.mkdir()
    for name in CHECKOUT:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, project / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
        elif source.exists():
            shutil.copy2(source, project / name)
    (packages / "labkit-checkout.pth").write_text(f"{project}\n")
    # Users cannot write there; without this each rank would compile the package at each start.
    subprocess.run([str(python), "-m", "compileall", "-q", str(project / "labkit")], check=True)
    subprocess.run(["chmod", "-R", "a+rX", str(project), str(folder / "bin"), str(packages / "labkit-checkout.pth")],
                   check=True)
    folder.chmod(0o755)
    return python
