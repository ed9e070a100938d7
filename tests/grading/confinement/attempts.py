"""What an answer might attempt, and which walls must stop it.

Each source runs in a process of its own with these names: FILE (exists, outside the sandbox), NEW (does not exist,
beside FILE), SCRATCH (the scratch folder), SHOWN (a readable file), SECRET (a hidden file below),
LINK (a link to SECRET), SIBLING (a process of the same sandbox), PORT (of a listening socket), UNIX (a path of one),
CALLS (numbers of calls), MEMORY (an address in SIBLING), SOCKET (inherited).
A source that harms ends without an exception.
"""

CTYPES = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
CHECKED = CTYPES + """
def checked(result):
    if result < 0: raise OSError(ctypes.get_errno(), 'libc')
    return result
"""
FILES = {"bubblewrap", "landlock", "seccomp", "python"}
READS = {"bubblewrap", "landlock", "python"}
PROCESSES = {"seccomp", "python"}
LIMITS = {"limits"}

ATTEMPTS = {
    # name: (source, walls of which each must stop it alone)
    "write a file": ("open(NEW, 'w')", FILES),
    "write a file, os.open": ("import os; os.open(NEW, os.O_CREAT | os.O_WRONLY)", FILES),
    "write a file, ctypes": (CHECKED + "checked(libc.open(NEW.encode(), os.O_CREAT | os.O_WRONLY, 0o600))", FILES),
    "write a file, creat": (CHECKED + "checked(libc.creat(NEW.encode(), 0o600))", FILES),
    "write a file, openat2": (
        CHECKED + "how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o600, 0)\n"
        "checked(libc.syscall(437, -100, NEW.encode(), how, 24))", FILES,
    ),
    "write in scratch": ("open(SCRATCH + '/new', 'w')", {"landlock", "seccomp", "python"}),
    "change a file": ("open(FILE, 'r+').write('x')", FILES),
    "append to a file": ("open(FILE, 'a').write('x')", FILES),
    "empty a file by reading": ("import os; os.open(FILE, os.O_RDONLY | os.O_TRUNC)", FILES),
    "delete a file": ("import os; os.remove(FILE)", FILES),
    "delete a file, ctypes": (CHECKED + "checked(libc.unlink(FILE.encode()))", FILES),
    "delete a folder": ("import os, shutil; shutil.rmtree(os.path.dirname(FILE))", FILES),
    "move a file": ("import os; os.rename(FILE, NEW)", FILES),
    "make a link": ("import os; os.symlink('/etc', NEW)", FILES),
    "make a folder": ("import os; os.mkdir(NEW)", FILES),
    "change rights": ("import os; os.chmod(FILE, 0o777)", {"bubblewrap", "seccomp", "python"}),
    "file in memory": (
        CHECKED + "checked(libc.memfd_create(b'x', 0))", PROCESSES,
    ),
    "read the secret": ("assert 'swordfish' in open(SECRET).read()", READS),
    "read the secret, os.open": ("import os; assert b'swordfish' in os.read(os.open(SECRET, os.O_RDONLY), 99)", READS),
    "read the secret, ctypes": (CHECKED + "checked(libc.open(SECRET.encode(), 0))", READS),
    "read the secret by a link": ("assert 'swordfish' in open(LINK).read()", READS),
    "read the secret by dots": (
        "import os; d, n = os.path.split(SECRET)\nassert open(d + '/../' + os.path.basename(d) + '/' + n).read()",
        READS,
    ),
    "read the secret by proc": ("assert 'swordfish' in open('/proc/self/root' + SECRET).read()", READS),
    "read the secret by a folder": (
        "import os; fd = os.open(os.path.dirname(SECRET), os.O_RDONLY)\n"
        "os.open(os.path.basename(SECRET), os.O_RDONLY, dir_fd=fd)", READS,
    ),
    "read the secret by linecache": ("import linecache; assert linecache.getlines(SECRET)", READS),
    "import the secret": (
        "import importlib.util; s = importlib.util.spec_from_file_location('x', SECRET)\n"
        "s.loader.exec_module(importlib.util.module_from_spec(s))", READS,
    ),
    "read what was not shown": ("open(FILE).read()", READS),
    "read another process": ("open(f'/proc/{SIBLING}/environ').read()", {"landlock", "python"}),
    "connect": ("import socket; socket.create_connection(('127.0.0.1', PORT), 5)", FILES),
    "connect, local socket": (
        "import socket; socket.socket(socket.AF_UNIX).connect(UNIX)", {"bubblewrap", "seccomp", "python"},
    ),
    "connect, abstract socket": (
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + UNIX)", {"bubblewrap", "seccomp", "python"},
    ),
    "listen": ("import socket; socket.socket().bind(('127.0.0.1', 0))", {"landlock", "seccomp", "python"}),
    "open a socket, ctypes": (CHECKED + "checked(libc.socket(2, 2, 0))", PROCESSES),
    "look up a name": ("import socket; socket.getaddrinfo('localhost', 80)", {"python"}),
    "fork": ("import os\nif os.fork() == 0: os._exit(0)", PROCESSES),
    "fork, ctypes": (CHECKED + "if checked(libc.fork()) == 0: os._exit(0)", PROCESSES),
    "fork, raw clone": (
        CHECKED + "if checked(libc.syscall(CALLS['clone'], 17, 0, 0, 0, 0)) == 0: os._exit(0)", PROCESSES,
    ),
    "fork, raw clone3": (
        CHECKED + "args = (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17)\n"
        "if checked(libc.syscall(435, args, 64)) == 0: os._exit(0)", PROCESSES,
    ),
    "multiprocessing": (
        "import multiprocessing as m; p = m.get_context('fork').Process(target=int); p.start(); p.join()", PROCESSES,
    ),
    "subprocess": ("import subprocess; subprocess.run(['/bin/true'], check=True)", PROCESSES),
    "os.system": ("import os; assert os.system('true') == 0", PROCESSES),
    "posix_spawn": ("import os; os.posix_spawn('/bin/true', ['true'], {})", PROCESSES),
    "exec": ("import os; os.execv('/bin/sh', ['sh', '-c', 'echo done'])", {"landlock", "seccomp", "python"}),
    "kill a process": ("import os; os.kill(SIBLING, 10)", {"seccomp", "python"}),
    "kill its parent": ("import os; os.kill(os.getppid(), 10)", {"seccomp", "python"}),
    "kill its group": ("import os; os.killpg(0, 10)", {"seccomp", "python"}),
    "kill, ctypes": (CHECKED + "checked(libc.kill(SIBLING, 10))", {"seccomp", "python"}),
    "kill all": (CHECKED + "checked(libc.kill(-1, 0))", {"seccomp", "python"}),
    "signal through a file": (
        "import fcntl, os; r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, SIBLING)", {"seccomp"},
    ),
    "pidfd": (CHECKED + "checked(libc.syscall(434, SIBLING, 0))", PROCESSES),
    "slow a process": ("import os; os.setpriority(os.PRIO_PROCESS, SIBLING, 5)", {"seccomp"}),
    "limit a process": ("import resource; resource.prlimit(SIBLING, resource.RLIMIT_NOFILE, (50, 50))", PROCESSES),
    "trace a process": (CHECKED + "checked(libc.ptrace(16, SIBLING, None, None))", {"landlock", "seccomp", "python"}),
    "read the memory of a process": (
        CHECKED + "class IO(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]\n"
        "text, copy = ctypes.create_string_buffer(b'x' * 8), ctypes.create_string_buffer(8)\n"
        "here, there = IO(ctypes.addressof(copy), 8), IO(MEMORY, 8)\n"
        "checked(libc.process_vm_readv(SIBLING, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))",
        {"landlock", "seccomp", "python"},
    ),
    "lower its limits": ("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))", PROCESSES),
    "be dumpable again": (CHECKED + "checked(libc.prctl(4, 1, 0, 0, 0))", PROCESSES),
    "new user namespace": (CHECKED + "checked(libc.unshare(0x10000000))", PROCESSES),
    "io_uring": (  # needs locked memory, which is limited to none; refused by seccomp too
        CHECKED + "checked(libc.syscall(425, 4, (ctypes.c_char * 120)()))", LIMITS),
    "100 GB": ("import numpy; numpy.ones(100 << 27)", LIMITS),
    "100 GB, bytes": ("bytearray(100 << 30)", LIMITS),
    "100 GB, shared": ("import mmap; mmap.mmap(-1, 100 << 30)", LIMITS),
    "300 MB of 256 MB": ("import numpy; numpy.ones(300 << 17)", LIMITS),
    "little by little": ("kept = []\nwhile True: kept.append(bytearray(1 << 20))", LIMITS),
    "endless loop": ("while True: pass", LIMITS),
    "endless loop, signals ignored": (
        "import signal\nfor n in (2, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass", LIMITS,
    ),
    "endless output": ("while True: print('x' * 1000)", LIMITS),
    "more files": ("import os\nkept = [os.dup(1) for _ in range(100)]", LIMITS),
}

# What must work behind all walls.
NEEDS = {
    "read what is shown": "assert 'seven' in open(SHOWN).read()",
    "matrix product": "import numpy as np; a = np.ones((300, 300)); assert (a @ a == 300).all()",
    "memory": "import numpy as np; assert np.ones(100 << 17).sum() == 100 << 17",
    "threads": (
        "import threading; found = []; ts = [threading.Thread(target=found.append, args=(k,)) for k in range(8)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; assert sorted(found) == list(range(8))"
    ),
    "thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "assert list(ThreadPoolExecutor(4).map(abs, [-1, -2])) == [1, 2]"
    ),
    "import": "import sys; assert 'wave' not in sys.modules; import wave, decimal, colorsys",
    "import a library": "import numpy.fft, numpy.polynomial; assert numpy.fft.fft([1.0, 0.0]).sum() == 2",
    "import labkit": "import labkit.trace.timeline, labkit.comm.network.presets",
    "inherited socket": (
        "SOCKET.sendall(b'ping'); assert SOCKET.recv(4) == b'pong'"
    ),
    "send to itself": "import signal; signal.signal(10, lambda *a: None); signal.raise_signal(10)",
    "random numbers": "import random, os, numpy; os.urandom(8); numpy.random.default_rng().random()",
    "traceback": (
        "import traceback\ntry: 1 / 0\nexcept ZeroDivisionError: assert 'ZeroDivisionError' in traceback.format_exc()"
    ),
    "time": "import time, datetime; time.sleep(0.001); datetime.datetime.now()",
    "standard output": "print('x' * 1000); import sys; sys.stdout.flush()",
}
