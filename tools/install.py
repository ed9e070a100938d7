"""Make .venv and install labkit into it, or do nothing if that has been done.

    python3 tools/install.py [--extra test] [--root FOLDER]

Needs nothing but Python. Every failure ends in one sentence that says what to do, and running it
again goes on from there. The version check must work on old Pythons: no new syntax in this file.

A stamp in .venv says what the last complete installation was made from. It goes away before pip
changes anything and comes back when pip has ended well, so an environment without one is begun anew.
"""

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import sysconfig

OLDEST = (3, 11)
NEWER = ("python3.12", "python3.13", "python3.11", "python3.14")  # the first that is here gets named
STAMP = "labkit-install.json"
LARGE_MB = 20  # a download of this size is shown, for it takes a while


def fail(sentence):
    """End with one sentence."""
    sys.stdout.flush()
    sys.stderr.write("\n" + sentence + "\n")
    sys.exit(1)


def runs(command):
    """Whether a command can be run and ends well; what it prints is dropped."""
    try:
        with open(os.devnull, "w") as nowhere:
            return subprocess.call(command, stdout=nowhere, stderr=nowhere) == 0
    except OSError:
        return False


def check_python():
    """Refuse a Python that is too old or cannot make virtual environments."""
    if sys.version_info < OLDEST:
        question = "import ensurepip, sys; sys.exit(sys.version_info < (%d, %d))" % OLDEST
        found = [name for name in NEWER if runs([name, "-c", question])]
        advice = "name the newer one that is here" if found else "install a newer one and name it, like this"
        fail(
            "labkit needs Python %d.%d or newer, and %s is Python %d.%d: %s: make lab PYTHON=%s"
            % (OLDEST + (sys.executable,) + tuple(sys.version_info[:2]) + (advice, (found or NEWER)[0]))
        )
    try:
        import ensurepip  # Debian ships Python without it
        import venv
    except ImportError:
        fail(
            "This Python (%s) has no venv module: install it (on Debian and Ubuntu: "
            "sudo apt install python3-venv) and run the same command again." % sys.executable
        )


def fingerprints(root):
    """What an environment depends on: what means a new one, and what pip can bring up to date."""

    def digest(name):
        with open(os.path.join(root, name), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    environment = [
        os.path.realpath(root),  # the programs in .venv/bin name it
        "%s %d.%d %s" % ((sys.implementation.name,) + sys.version_info[:2] + (sysconfig.get_platform(),)),
        digest("constraints.txt"),  # packages that are no longer pinned must not stay
    ]
    return {"environment": environment, "project": digest("pyproject.toml")}


def read_stamp(venv_dir):
    """What the last complete installation was; {} if there was none."""
    try:
        with open(os.path.join(venv_dir, STAMP)) as file:
            stamp = json.load(file)
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def remove(path):
    """Remove a file that may not be there."""
    with contextlib.suppress(OSError):
        os.remove(path)


def one_line(text, length=240):
    """The last line of a text that says something, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it printed nothing"]
    line = lines[-1].rstrip(".")
    return line if len(line) <= length else line[:length] + " ..."


class Progress:
    """What pip prints, in one line that changes; on something that is no terminal, in a few lines."""

    def __init__(self, num_packages):
        self.num_packages = num_packages
        self.num_found = 0
        self.terminal = sys.stdout.isatty()

    def read(self, line):
        """Look at one line of pip's."""
        words = line.split()
        if line.startswith("Collecting ") and len(words) > 1:
            self.num_found += 1
            text = "%3d of about %d: %s" % (self.num_found, self.num_packages, words[1])
            self.show(text, worth_a_line=self.num_found % 25 == 1)
        elif words[:1] == ["Downloading"] and line.rstrip().endswith("MB)"):
            with contextlib.suppress(ValueError):
                size = float(words[-2].lstrip("("))
                if size >= LARGE_MB:
                    self.show("downloading %s (%d MB)" % (words[1].rsplit("/", 1)[-1], size), True)
        elif line.startswith("Installing collected packages"):
            count = line.count(",") + 1
            self.show("unpacking %d packages%s" % (count, ", a minute or two" if count > 20 else ""), True)
        elif line.startswith("WARNING: Retrying"):
            self.show("the network does not answer, trying again", True)

    def show(self, text, worth_a_line):
        if self.terminal:
            sys.stdout.write("\r  " + text[:74].ljust(74))
        elif worth_a_line:
            sys.stdout.write("  " + text + "\n")
        sys.stdout.flush()

    def end(self):
        if self.terminal:
            sys.stdout.write("\r" + " " * 76 + "\r")
            sys.stdout.flush()


def run_pip(arguments, root, log_path, num_packages, before_changes, keep_open):
    """Run pip in ``root``, show its progress, keep all it prints in a log; why it failed, or None."""
    python = os.path.join(root, ".venv", "bin", "python")
    environment = dict(os.environ, PIP_USER="0", PYTHONUNBUFFERED="1")
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX"):
        environment.pop(name, None)  # they would lead pip to other packages than those of .venv
    options = ["--disable-pip-version-check", "--no-input", "--no-color", "--progress-bar", "off"]
    progress, errors, network = Progress(num_packages), [], ""
    with open(log_path, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [python, "-I", "-m", "pip", "install"] + options + arguments,
            cwd=root, env=environment, pass_fds=keep_open, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        )
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                if line.startswith("Installing collected"):
                    before_changes()
                if line.startswith("ERROR:"):
                    errors.append(line[len("ERROR:"):])
                if line.startswith("WARNING: Retrying"):
                    network = "; the network did not answer"
                progress.read(line)
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            progress.end()
    if status == 0:
        return None
    with open(log_path, encoding="utf-8") as log:
        return one_line(errors[-1] if errors else log.read()) + network


def make_environment(venv_dir):
    """A new, empty .venv in the place of whatever is there."""
    python = sys.executable
    if os.path.realpath(sys.prefix) == os.path.realpath(venv_dir):
        python = getattr(sys, "_base_executable", python)  # this one is about to be removed
    if os.path.islink(venv_dir):
        os.makedirs(os.path.realpath(venv_dir), exist_ok=True)  # it may lie on another disk
    elif os.path.isfile(venv_dir):
        fail("There is a file named %s where the environment should be: move it away." % venv_dir)
    made = subprocess.run(
        [python, "-m", "venv", "--clear", os.path.realpath(venv_dir)],  # venv refuses a link
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
    )
    if made.returncode != 0:
        fail(
            "The virtual environment %s could not be made (%s): remove that cause and run the same "
            "command again." % (venv_dir, one_line(made.stdout))
        )


def is_done(root, extras):
    """Whether .venv is complete and up to date."""
    venv_dir, wanted = os.path.join(root, ".venv"), fingerprints(root)
    stamp = read_stamp(venv_dir)
    same = all(stamp.get(key) == value for key, value in wanted.items())
    return same and set(extras) <= set(stamp.get("extras", ())) and has_pip(venv_dir)


def has_pip(venv_dir):
    """Whether the interpreter of an environment runs."""
    return runs([os.path.join(venv_dir, "bin", "python"), "-I", "-c", "import pip"])


def install(root, extras, lock):
    """Make the environment, or bring it up to date, and install the packages."""
    venv_dir, wanted = os.path.join(root, ".venv"), fingerprints(root)
    stamp = read_stamp(venv_dir)
    if stamp.get("environment") == wanted["environment"] and has_pip(venv_dir):
        extras = sorted(set(extras) | set(stamp.get("extras", ())))
        print("Bringing the environment .venv up to date ...")
    else:
        if os.path.lexists(venv_dir):
            print("The folder .venv is from another or an unfinished installation: starting it again.")
        print("Making the environment .venv ...")
        sys.stdout.flush()
        make_environment(venv_dir)
        print("Installing the packages; the first time this downloads them and takes some minutes.")
    sys.stdout.flush()
    with open(os.path.join(root, "constraints.txt"), encoding="utf-8") as file:
        num_packages = sum(1 for line in file if "==" in line)
    stamp_path, log_path = os.path.join(venv_dir, STAMP), os.path.join(venv_dir, "install.log")
    arguments = ["-c", "constraints.txt", "-e", ".[%s]" % ",".join(extras) if extras else "."]
    reason = run_pip(
        arguments, root, log_path, num_packages, lambda: remove(stamp_path), [lock] if lock is not None else []
    )
    if reason is not None:
        fail(
            "The packages could not be downloaded or installed (%s): check the internet connection "
            "and the free disk space, then run the same command again; the whole log is in %s."
            % (reason, log_path)
        )
    with open(stamp_path + ".new", "w") as file:
        json.dump(dict(wanted, extras=extras), file)
    os.replace(stamp_path + ".new", stamp_path)
    print("Installed.")


def take_lock(root):
    """Wait until no other make installs here. The lock; pip holds it too, should this process be killed."""
    lock = os.open(os.path.join(root, ".install.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl
    except ImportError:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another installation runs in this folder; waiting for it to end.")
        sys.stdout.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        pass  # some network file systems have no locks
    return lock


def main():
    """The command line."""
    check_python()
    parser = argparse.ArgumentParser(description="Install labkit into .venv")
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    options = parser.parse_args()
    root, extras = os.path.abspath(options.root), sorted(set(options.extra))
    if os.pathsep in root:
        fail("Python cannot make environments in a folder with %s in its name: move or rename %s." % (os.pathsep, root))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if is_done(root, extras):
            return
        lock = take_lock(root)
        if not is_done(root, extras):  # unless the other installation has just done it
            install(root, extras, lock)
    except KeyboardInterrupt:
        fail("Stopped; run the same command again to finish the installation.")
    except OSError as error:
        fail(
            "%s: see that %s can be written to and that the disk has room, then run the same command "
            "again." % (error, root)
        )


if __name__ == "__main__":
    main()
