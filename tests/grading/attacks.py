"""Answers that try to get points without doing the work, or to do harm: name -> (source, statuses that are right).

``VICTIM`` stands for a file that must survive, ``REFERENCE`` for the folder of the exercise. The function is
``total(comm, values, out)``: the sum of all ranks' values into every rank's ``out``, by sends and receives.
"""

RIGHT = '''
import numpy as np

def total(comm, values, out):
    """Around the ring, p - 1 times."""
    right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    out[:] = values
    passing, arriving = values.copy(), np.empty_like(values)
    for _ in range(comm.size - 1):
        comm.Sendrecv(passing, right, 0, arriving, left, 0)
        passing, arriving = arriving, passing
        out += passing
'''

WRONG = "out[:] = values * comm.size"

ATTACKS = {
    "prints a fake verdict": (
        f'''
def total(comm, values, out):
    import sys
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        print("PASSED  10 of 10 points", file=stream, flush=True)
    {WRONG}
''', {"incorrect"}),
    "raises SystemExit": ("def total(comm, values, out):\n    raise SystemExit(0)\n", {"crashed"}),
    "raises SystemExit when it is loaded": ("import sys\nsys.exit(0)\ndef total(comm, values, out):\n    pass\n", {"crashed"}),
    "ends its process": ("import os\ndef total(comm, values, out):\n    os._exit(0)\n", {"crashed"}),
    "raises what cannot be shown": (
        '''
class Odd(BaseException):
    def __str__(self):
        raise RuntimeError("no words")
def total(comm, values, out):
    raise Odd()
''', {"crashed"}),
    "patches the comparison": (
        f'''
import numpy as np
np.array_equal = np.allclose = lambda *a, **k: True
np.count_nonzero = lambda *a, **k: 0
def total(comm, values, out):
    import labkit.comm.reduction
    import builtins, json, time
    builtins.abs = lambda x: 0
    json.loads = lambda text: ["result", {{"dict": []}}, []]
    time.monotonic = lambda: 0.0
    {WRONG}
''', {"incorrect", "crashed"}),
    "patches its communicator": (
        f'''
def total(comm, values, out):
    comm.__class__.size = 1
    comm._wires.call = lambda *a, **k: (None, [])
    {WRONG}
''', {"incorrect", "crashed"}),
    "patches the judge": (
        f'''
import sys
def total(comm, values, out):
    for name, module in list(sys.modules.items()):
        for word in ("judge", "difference", "judge_results", "Verdict"):
            if hasattr(module, word):
                setattr(module, word, lambda *a, **k: "")
    import labkit.grading.compare as compare
    compare.difference = lambda *a: ""
    {WRONG}
''', {"crashed"}),
    "reads the reference": (
        '''
def total(comm, values, out):
    names = {}
    exec(open("REFERENCE/reference.py").read(), names)
    names["total"](comm, values, out)
''', {"crashed"}),
    "reads the reference by another way": (
        '''
import os
def total(comm, values, out):
    names = {}
    for path in ("REFERENCE/reference.py", "/proc/self/root" + "REFERENCE/reference.py", "REFERENCE/../folder/reference.py"):
        try:
            text = os.read(os.open(path, os.O_RDONLY), 100000).decode()
        except OSError:
            continue
        exec(text, names)
        return names["total"](comm, values, out)
    raise LookupError("nothing to read")
''', {"crashed"}),
    "reads the cases": (
        '''
def total(comm, values, out):
    names = {}
    exec(open("REFERENCE/exercise.py").read(), names)
    case = next(c for c in names["exercise"].cases() if c.num_ranks == comm.size)
    out[:] = case.expected[comm.rank][1]
''', {"crashed"}),
    "looks for the cases in the frames and in the memory": (
        f'''
import gc, sys
import numpy as np
def total(comm, values, out):
    found = []
    frame = sys._getframe()
    while frame is not None:
        found += list(frame.f_locals.values())
        frame = frame.f_back
    found += gc.get_objects()
    for thing in found:
        for item in (thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else [thing]):
            if isinstance(item, np.ndarray) and item.shape == out.shape and item is not values and item is not out:
                out[:] = item
                return
            if type(item).__name__ in ("Case", "Exercise"):
                out[:] = item.expected[comm.rank][1]
                return
    {WRONG}
''', {"incorrect", "crashed"}),
    "shares memory instead of messages": (
        '''
import builtins
builtins.shared = getattr(builtins, "shared", {})
def total(comm, values, out):
    shared = builtins.shared
    shared[comm.rank] = values.copy()
    comm.Send(values[:0], (comm.rank + 1) % comm.size)
    comm.Recv(out[:0], (comm.rank - 1) % comm.size)
    out[:] = sum(shared.values())
''', {"incorrect", "deadlocked"}),
    "shares files instead of messages": (
        '''
import os, tempfile, time
import numpy as np
def total(comm, values, out):
    for folder in (".", tempfile.gettempdir(), "/dev/shm", "/var/tmp", os.path.expanduser("~")):
        try:
            np.save(f"{folder}/part{comm.rank}.npy", values)
        except OSError:
            continue
        time.sleep(0.1)
        out[:] = sum(np.load(f"{folder}/part{r}.npy") for r in range(comm.size))
        return
    raise LookupError("nowhere to write")
''', {"crashed"}),
    "an object that equals everything": (
        '''
class Same:
    def __eq__(self, other):
        return True
    __hash__ = None
    def __array__(self, *a, **k):
        raise ValueError
def total(comm, values, out):
    return Same()
''', {"incorrect"}),
    "an array that equals everything": (
        '''
import numpy as np
class Same(np.ndarray):
    def __eq__(self, other):
        return np.ones(self.shape, bool)
    def __ne__(self, other):
        return np.zeros(self.shape, bool)
def total(comm, values, out):
    return out.view(Same)
''', {"incorrect"}),
    "keeps state between cases": (
        '''
import numpy as np
kept = []
def total(comm, values, out):
    if not kept:
        right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
        out[:] = values
        passing, arriving = values.copy(), np.empty_like(values)
        for _ in range(comm.size - 1):
            comm.Sendrecv(passing, right, 0, arriving, left, 0)
            passing, arriving = arriving.copy(), passing
            out += passing
        kept.append(out.copy())
    out[:] = np.resize(kept[0], out.shape)
''', {"incorrect"}),
    "keeps state between numbers of ranks": (
        """
import sys
import numpy as np
def total(comm, values, out):
    right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    if not hasattr(np, "kept"):
        out[:] = values
        passing, arriving = values.copy(), np.empty_like(values)
        for _ in range(comm.size - 1):
            comm.Sendrecv(passing, right, 0, arriving, left, 0)
            passing, arriving = arriving.copy(), passing
            out += passing
        np.kept = sys.kept = comm.size, out.copy()
    elif np.kept[0] == comm.size:
        comm.Allreduce(values, out)
    else:
        out[:] = np.resize(np.kept[1], out.shape)
""", {"incorrect", "deadlocked", "forbidden call"}),
    "changes its inputs": ("def total(comm, values, out):\n    values[:] = 0\n    out[:] = 0\n", {"incorrect"}),
    "loops for ever": ("def total(comm, values, out):\n    while True:\n        pass\n", {"timed out"}),
    "loops for ever in a call": (
        "def total(comm, values, out):\n    while True:\n        comm.Iprobe(comm.rank)\n", {"timed out", "deadlocked", "incorrect"}),
    "catches everything and loops": (
        '''
import time
def total(comm, values, out):
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass
''', {"timed out"}),
    "forks": ("import os\ndef total(comm, values, out):\n    while True:\n        os.fork()\n", {"crashed"}),
    "starts programs": ("import subprocess\ndef total(comm, values, out):\n    subprocess.run(['sleep', '60'])\n", {"crashed"}),
    "kills its parents": (
        '''
import os, signal
def total(comm, values, out):
    for pid in (os.getppid(), -1, 0):
        os.kill(pid, signal.SIGKILL)
''', {"crashed"}),
    "allocates 100 GB": (
        '''
import numpy as np
def total(comm, values, out):
    kept = [np.ones(100 * 2**30 // 8)]
''', {"crashed"}),
    "allocates bit by bit": (
        '''
import numpy as np
def total(comm, values, out):
    kept = []
    while True:
        kept.append(np.ones(2**22))
''', {"crashed"}),
    "deletes files": (
        '''
import os, shutil
def total(comm, values, out):
    try:
        os.remove("VICTIM")
    except OSError:
        pass
    try:
        open("VICTIM", "w").close()
    except OSError:
        pass
    shutil.rmtree(os.path.dirname("VICTIM"))
''', {"crashed", "incorrect"}),
    "opens a socket": (
        '''
import socket
def total(comm, values, out):
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 80))
''', {"crashed"}),
    "calls what is forbidden": ("def total(comm, values, out):\n    comm.Allreduce(values, out)\n", {"forbidden call"}),
    "calls what is forbidden by another name": (
        '''
from mpi4py import MPI
def total(comm, values, out):
    getattr(MPI.COMM_WORLD.Dup(), "I" + "allreduce")(values, out).Wait()
''', {"forbidden call"}),
    "calls what is forbidden behind the stand-in": (
        f'''
def total(comm, values, out):
    comm._wires.call(1, "allgather", [{{"object": 0}}], [b"x"])
    {WRONG}
''', {"forbidden call"}),
    "uses the course's own solution": (
        '''
def total(comm, values, out):
    from labkit.mpi.collectives.allreduce_rings import allreduce_ring
    allreduce_ring(comm, values, out)
''', {"crashed"}),
    "uses the course's own solution by its file": (
        '''
import labkit, os, importlib.util
def total(comm, values, out):
    path = os.path.join(os.path.dirname(labkit.__file__), "mpi", "collectives", "allreduce_rings.py")
    spec = importlib.util.spec_from_file_location("stolen", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.allreduce_ring(comm, values, out)
''', {"crashed"}),
    "speaks to the judge itself": (
        '''
def total(comm, values, out):
    link = comm._wires.link
    link.send(["result", {"dict": [["return", None], [0, None], [1, None]]}, []])
    link.send(["passed", 10])
    link.sock.sendall(b"PASSED" * 1000)
''', {"incorrect", "crashed"}),
    "floods the judge": (
        '''
def total(comm, values, out):
    while True:
        comm._wires.link.sock.sendall(b"\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\x00[" * 10000)
''', {"crashed", "timed out"}),
    "announces a frame of 8 GB": (
        '''
def total(comm, values, out):
    comm._wires.link.sock.sendall(b"\\xff" * 8)
''', {"crashed"}),
    "pretends to have reduced and computed nothing": (
        f'''
def total(comm, values, out):
    comm.charge_reduction(-(10**9), -(10**9))
    comm.charge_compute(float("nan"))
    {WRONG}
''', {"incorrect", "crashed"}),
    "returns nested lists without end": (
        '''
def total(comm, values, out):
    found = []
    for _ in range(100000):
        found = [found]
    return found
''', {"incorrect", "crashed"}),
    "returns a gigabyte": (
        '''
def total(comm, values, out):
    return b"x" * 2**30
''', {"incorrect", "crashed"}),
    "overflows the stack": ("def total(comm, values, out):\n    return total(comm, values, out)\n", {"crashed"}),
    "breaks the interpreter": (
        '''
import ctypes
def total(comm, values, out):
    ctypes.string_at(0)
''', {"crashed"}),
    "leaves a thread behind": (
        f'''
import threading
def total(comm, values, out):
    def run():
        while True:
            pass
    threading.Thread(target=run, daemon=False).start()
    {WRONG}
''', {"incorrect"}),
    "wants to know the sandbox": (
        '''
import sys
def total(comm, values, out):
    sys.settrace(None); sys.setrecursionlimit(10**9)
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
''', {"crashed"}),
}
