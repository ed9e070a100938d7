"""What the doctor runs as a rank: it says what it sees, as far as it comes.

The source of this file travels in the job script, as it must run where labkit is not installed and the
cluster's folder is not seen. So it uses nothing but the standard library until the last step. Each
report goes three ways, of which one may work: a line on standard output, a file in the folder, and
a connection to the doctor.
"""

import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

PREFIX = "LABKIT-PROBE "
CONNECT_S = 5.0
MEET_S = 10.0
NUM_PINGS = 9
MPI_LIBRARY = re.compile(r"lib(mpi|mpich|mpi_abi|mvapich|fmpich)[\w-]*\.so[.\d]*$")


class Reporter:
    """Sends reports by every way there is.

    Parameters
    ----------
    environment : mapping
        With LABKIT_PROBE_FOLDER, _TOKEN, _ADDRESS, _PORT and _COUNT.
    """

    def __init__(self, environment):
        self.folder = environment["LABKIT_PROBE_FOLDER"]
        self.token = environment["LABKIT_PROBE_TOKEN"]
        self.where = environment["LABKIT_PROBE_ADDRESS"], int(environment["LABKIT_PROBE_PORT"])
        self.num_asked = int(environment["LABKIT_PROBE_COUNT"])
        self.facts = {"host": socket.gethostname(), "pid": os.getpid(), "stage": "python"}

    def connect(self):
        """Connect to the doctor and compare clocks."""
        try:
            with socket.create_connection(self.where, CONNECT_S) as connection:
                connection.settimeout(CONNECT_S)
                address = connection.getsockname()[0]
                with connection.makefile("rw") as stream:
                    print(self.token, file=stream, flush=True)
                    offset, error = clock_offset(stream)
                    self.facts.update(
                        connect_error="",
                        source_address=address,
                        interface=interface_of(address),
                        clock_offset_s=offset,
                        clock_error_s=error,
                    )
                    print(json.dumps(self.facts), file=stream, flush=True)
        except (OSError, ValueError) as error:
            self.facts["connect_error"] = str(error) or type(error).__name__

    def look_for_folder(self):
        """Whether the file that the doctor left in the folder is seen here."""
        try:
            with open(os.path.join(self.folder, "token")) as file:
                self.facts["folder_seen"] = file.read().strip() == self.token
        except OSError:
            self.facts["folder_seen"] = False

    def report(self):
        """Tell what is known so far."""
        text = json.dumps(self.facts)
        print(PREFIX + text, flush=True)
        if self.facts.get("folder_seen"):
            path = os.path.join(self.folder, "report-{host}-{pid}-{stage}".format(**self.facts))
            try:
                with open(path + ".part", "w") as file:
                    file.write(text)
                os.replace(path + ".part", path + ".json")
            except OSError:
                pass
        if self.facts.get("connect_error") == "":
            try:
                with socket.create_connection(self.where, CONNECT_S) as connection:
                    connection.sendall(f"{self.token}\n{text}\n".encode())
            except OSError:
                pass

    def meet(self):
        """Wait until all ranks have told their library, as one whose MPI fails may end the others; not for long."""
        deadline = time.monotonic() + MEET_S
        while self.facts["folder_seen"] and time.monotonic() < deadline:
            if sum(name.endswith("-loaded.json") for name in os.listdir(self.folder)) >= self.num_asked:
                return
            time.sleep(0.05)


def clock_offset(stream):
    """This clock minus the doctor's, and how far that can be off: half of the shortest round trip."""
    rounds = []
    for _ in range(NUM_PINGS):
        sent = time.time()
        print("clock", file=stream, flush=True)
        theirs = float(stream.readline())
        received = time.time()
        rounds.append(((received - sent) / 2, (sent + received) / 2 - theirs))
    error, offset = min(rounds)
    return offset, error


def interface_of(address):
    """The network interface that has an address; "" if that cannot be found out."""
    try:
        lines = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, timeout=5).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    names = [words[1] for words in map(str.split, lines) if len(words) > 3 and words[3].split("/")[0] == address]
    return names[0] if names else ""


def versions_of(names):
    """Versions of packages, without importing them; "" for those that are not there."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "?" if importlib.util.find_spec(name) else ""
    return found


def gpus():
    """Names of the GPUs that this process may use."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


class Captured:
    """What a C library prints to standard output meanwhile, as ``text``; its errors are left alone."""

    def __enter__(self):
        sys.stdout.flush()
        self.file = tempfile.TemporaryFile()
        self.kept = os.dup(1)
        os.dup2(self.file.fileno(), 1)
        return self

    def __exit__(self, *error):
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)
        os.dup2(self.kept, 1)
        os.close(self.kept)
        self.file.seek(0)
        self.text = self.file.read().decode(errors="replace")
        self.file.close()


def loaded_mpi_libraries():
    """Paths of the MPI libraries in this process."""
    with open("/proc/self/maps") as file:
        paths = {line.split(maxsplit=5)[-1].strip() for line in file if ".so" in line}
    return sorted(path for path in paths if MPI_LIBRARY.search(os.path.basename(path)))


def transports_in(text):
    """What MPICH and its networking library have said about the network."""
    parts = []
    provider = re.search(r"(?:libfabric )?provider: *([\w;+-]+)", text)
    if provider:
        parts.append(f"libfabric, provider {provider.group(1)}")
    elif "UCX netmod" in text:
        parts.append("UCX")
    for reach in ("intra-node", "inter-node"):
        found = re.search(reach + r"[^\n]*? tag\(([^)]*)\)", text)
        if found:
            parts.append(f"{'within' if reach == 'intra-node' else 'between'} nodes {found.group(1)}")
    return ", ".join(parts)


def says_gpu_aware(path):
    """What the library answers to MPIX_Query_cuda_support; None if it has no such function."""
    library = ctypes.CDLL(path)
    return bool(library.MPIX_Query_cuda_support()) if hasattr(library, "MPIX_Query_cuda_support") else None


def start_mpi(facts, report, meet):
    """Start MPI, note what it is, and meet the other ranks."""
    os.environ["MPIR_CVAR_DEBUG_SUMMARY"] = "1"
    os.environ.setdefault("UCX_LOG_LEVEL", "info")
    import mpi4py

    mpi4py.rc.initialize = False  # what is loaded is told before it may get stuck
    from mpi4py import MPI

    facts.update(stage="loaded", library=MPI.Get_library_version().strip("\0 \n"), paths=loaded_mpi_libraries())
    report()
    meet()
    with Captured() as said:
        MPI.Init_thread()
    world = MPI.COMM_WORLD
    levels = {getattr(MPI, f"THREAD_{name}"): name for name in ("SINGLE", "FUNNELED", "SERIALIZED", "MULTIPLE")}
    facts.update(
        stage="world",
        size=world.size,
        rank=world.rank,
        paths=loaded_mpi_libraries(),
        thread_level=levels[MPI.Query_thread()],
    )
    report()
    with Captured() as more:
        world.Barrier()
        world.allgather(world.rank)
    facts.update(
        stage="mpi",
        paths=loaded_mpi_libraries(),
        transports=transports_in(said.text + more.text),
        memory_kinds=world.Get_info().Get("mpi_memory_alloc_kinds") or "",
        gpu_aware=says_gpu_aware(facts["paths"][0]) if facts["paths"] else None,
    )
    report()


def main(environment, names):
    """All steps, the safe ones first."""
    reporter = Reporter(environment)
    facts = reporter.facts
    facts.update(python=sys.executable, versions=versions_of(["mpi4py", *names]))
    facts["versions"]["python"] = ".".join(map(str, sys.version_info[:3]))
    reporter.look_for_folder()
    reporter.report()
    reporter.connect()
    facts["gpus"] = gpus()
    facts["errors"] = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            facts["errors"][name] = f"{type(error).__name__}: {error}"
    reporter.report()
    try:
        start_mpi(facts, reporter.report, reporter.meet)
    except Exception as error:
        facts["mpi_error"] = f"{type(error).__name__}: {error}"
        reporter.report()


if __name__ == "__main__":
    main(os.environ, sys.argv[1:])
