"""Make .venv and install labkit into it, or do nothing if that has been done.

    python3 tools/install.py [--extra test] [--root FOLDER]

Needs nothing but Python. Every failure ends in one sentence that says what to do; running it again
goes on from there. (The version check must work on old Pythons, so this file uses no new syntax.)
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
STAMP = "labkit-install.json"


def fail(sentence):
    """End with one sentence."""
    sys.stderr.write("\n" + sentence + "\n")
    sys.exit(1)


def check_python():
    """Refuse a Python that is too old or cannot make virtual environments."""
    if sys.version_info < OLDEST:
        fail(
            "labkit needs Python %d.%d or newer, and %s is Python %d.%d: install a newer one and "
            "name it, for example: make lab PYTHON=python3.12"
            % (OLDEST + (sys.executable,) + sys.version_info[:2])
        )
    try:
        import ensurepip  # Debian ships Python without it
        import venv
    except ImportError:
        fail(
            "This Python (%s) has no venv module: install it (on Debian and Ubuntu: "
            "sudo apt install python3-venv) and run the same command again." % sys.executable
        )


def fingerprint(root):
    """What an environment was made from: the two files of dependencies, the Python, the folder."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(root, name), "rb") as file:
            digest.update(file.read())
    digest.update(sys.version.encode())
    digest.update(os.path.realpath(root).encode())
    return digest.hexdigest()


def read_stamp(venv_dir):
    """What the last complete installation was; {} if there was none."""
    try:
        with open(os.path.join(venv_dir, STAMP)) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def works(python):
    """Whether an interpreter runs and has pip."""
    try:
        return subprocess.call(
            [python, "-c", "import pip"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) == 0
    except OSError:
        return False


def run_pip(command, log_path, num_packages):
    """Run pip, say what it is doing, keep all it prints in a log. Returns (status, its errors)."""
    shown, errors = "", []
    terminal = sys.stdout.isatty()
    found = 0
    with open(log_path, "w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
        for line in process.stdout:
            log.write(line)
            log.flush()
            words = line.split()
            if line.startswith(("Collecting", "Requirement already")) and len(words) > 1:
                found += line.startswith("Collecting")
                shown = "  %3d of about %d: %s" % (found, num_packages, words[1])
            elif line.startswith("Installing collected"):
                shown = "  installing them: the last minute or so"
            elif line.startswith("ERROR:"):
                errors.append(line[len("ERROR:"):].strip())
                continue
            else:
                continue
            if terminal:
                sys.stdout.write("\r" + shown[:78].ljust(78))
                sys.stdout.flush()
            elif found % 20 == 1 or shown.startswith("  inst"):
                print(shown)
                sys.stdout.flush()
    if terminal:
        sys.stdout.write("\r" + " " * 78 + "\r")
    return process.wait(), errors


def install(root, extras):
    """Make the environment and install the packages."""
    venv_dir = os.path.join(root, ".venv")
    python = os.path.join(venv_dir, "bin", "python")
    wanted = fingerprint(root)
    stamp = read_stamp(venv_dir)
    if stamp.get("fingerprint") == wanted and works(python):
        extras = sorted(set(extras) | set(stamp["extras"]))
        if extras == stamp["extras"]:
            return
    elif os.path.isdir(venv_dir) and not (works(python) and stamp.get("fingerprint") == wanted):
        print("The folder .venv is from another or an unfinished installation: starting it again.")
        shutil.rmtree(venv_dir, ignore_errors=True)
    if not os.path.isdir(venv_dir):
        print("Making the environment .venv ...")
        status = subprocess.call([sys.executable, "-m", "venv", venv_dir])
        if status != 0:
            shutil.rmtree(venv_dir, ignore_errors=True)
            fail(
                "Making the virtual environment failed: install Python's venv module (on Debian "
                "and Ubuntu: sudo apt install python3-venv) and run the same command again."
            )
    with open(os.path.join(root, "constraints.txt")) as file:
        num_packages = sum(1 for line in file if "==" in line)
    print("Installing the packages; the first time this downloads them and takes some minutes.")
    sys.stdout.flush()
    log_path = os.path.join(venv_dir, "install.log")
    target = root + ("[%s]" % ",".join(extras) if extras else "")
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["-c", os.path.join(root, "constraints.txt"), "-e", target]
    status, errors = run_pip(command, log_path, num_packages)
    if status != 0:
        fail(
            "The packages could not be downloaded or installed (%s): check the internet "
            "connection and the free disk space, then run the same command again; the whole log "
            "is in %s." % ((errors or ["pip ended with status %d" % status])[-1], log_path)
        )
    with open(os.path.join(venv_dir, STAMP), "w") as file:
        json.dump({"fingerprint": wanted, "extras": sorted(extras)}, file)
    print("Installed.")


def main():
    """The command line."""
    check_python()
    parser = argparse.ArgumentParser(description="Install labkit into .venv")
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument(
        "--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    )
    options = parser.parse_args()
    root = os.path.abspath(options.root)
    if "[" in root or "]" in root:
        fail("pip cannot install from a folder with [ or ] in its name: move %s." % root)
    try:
        import fcntl

        lock = open(os.path.join(root, ".install.lock"), "w")
        fcntl.flock(lock, fcntl.LOCK_EX)  # another make in this folder finishes first
    except (ImportError, OSError):
        pass
    try:
        install(root, sorted(options.extra))
    except KeyboardInterrupt:
        fail("Stopped; run the same command again to finish the installation.")


if __name__ == "__main__":
    main()
