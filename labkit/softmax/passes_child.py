"""Run as ``python -m labkit.softmax.passes_child``: versions of softmax in memory that notes who touches it.

All large arrays of NumPy lie in one region that may not be touched. A touch is a fault; its handler lets the page in
and counts a read or a write. Only so many pages are in at a time, like lines in a cache: who comes in puts out who has
been there longest, so the next touch of that one counts again. What runs is the version itself, compiled code and all.

Linux on x86-64; one thread. Reads {"versions", "num_rows", "num_columns", "dtype"} as JSON and prints a list of rows
[version, reads, writes, extra reads, extra writes], in units of the array's size.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import sys

import numpy as np

PAGE = mmap.PAGESIZE
RESIDENT_PAGES = 256  # 1 MiB with pages of 4 KiB: a cache of the second level
REGION_BYTES = 2**29
NONE, READ, WRITE = 0, 1, 3  # as mprotect has them
LEAST_BYTES = PAGE  # smaller arrays stay where they are
SIGINFO = 4
WRITE_FAULT = 2  # a bit of the processor's error code
# 8-byte words: where siginfo_t has the address, ucontext_t the error code, on Linux on x86-64
ADDRESS_WORD, ERROR_WORD = 2, 24
HEAD, LAST = 0, 1  # of the counters: how many came in; the rest is by page

_kept = []  # what NumPy calls as long as there are arrays
libc = ctypes.CDLL(None)
libc.mmap.restype = libc.malloc.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.memmove.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes, libc.mprotect.restype = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_size_t], ctypes.c_size_t


class Region:
    """Memory for arrays: page after page; what was freed is given again to who asks for as much."""

    def __init__(self):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self.start = libc.mmap(None, REGION_BYTES, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        self.next, self.free_blocks, self.sizes = self.start, {}, {}

    def allocate(self, size: int) -> int:
        rounded = -(-size // PAGE) * PAGE
        if self.free_blocks.get(rounded):
            return self.free_blocks[rounded].pop()
        address, self.next = self.next, self.next + rounded
        if self.next > self.start + REGION_BYTES:
            raise MemoryError("the region for arrays is full")
        self.sizes[address] = rounded
        return address

    def free(self, address: int) -> None:
        self.free_blocks.setdefault(self.sizes[address], []).append(address)

    def has(self, address: int) -> bool:
        return self.start <= address < self.start + REGION_BYTES


class Allocator(ctypes.Structure):
    """PyDataMemAllocator of NumPy's C interface (NEP 49)."""

    MALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    CALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
    REALLOC = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    _fields_ = [
        ("context", ctypes.c_void_p), ("malloc", MALLOC), ("calloc", CALLOC), ("realloc", REALLOC), ("free", FREE),
    ]


class Handler(ctypes.Structure):
    """PyDataMem_Handler."""

    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("allocator", Allocator)]


def own_arrays(region: Region) -> Handler:
    """Let NumPy allocate large arrays in the region, from now on."""

    def malloc(context, size):
        return region.allocate(size) if size >= LEAST_BYTES else libc.malloc(max(size, 1))

    def calloc(context, number, size):
        address = malloc(context, number * size)
        libc.memset(address, 0, number * size)
        return address

    def free(context, address, size):
        if address:
            region.free(address) if region.has(address) else libc.free(address)

    def realloc(context, address, size):
        new = malloc(context, size)
        if address:
            libc.memmove(new, address, min(size, region.sizes[address]) if region.has(address) else size)
            free(context, address, 0)
        return new

    handler = Handler(b"labkit", 1, Allocator(
        None, Allocator.MALLOC(malloc), Allocator.CALLOC(calloc), Allocator.REALLOC(realloc), Allocator.FREE(free)
    ))  # fmt: skip
    api = ctypes.pythonapi
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_New.restype = ctypes.py_object
    api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    interface = api.PyCapsule_GetPointer(np._core._multiarray_umath._ARRAY_API, None)
    table = ctypes.cast(interface, ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[304])  # PyDataMem_SetHandler
    handler.capsule = api.PyCapsule_New(ctypes.addressof(handler), b"mem_handler", None)
    set_handler(handler.capsule)
    return handler


class Counters:
    """Reads and writes by page, in memory that the handler of faults changes."""

    def __init__(self, region: Region):
        self.region, num_pages = region, REGION_BYTES // PAGE
        kind = ctypes.c_int64 * num_pages
        self.state, self.reads, self.writes = kind(), kind(), kind()
        self.ring, self.head = (ctypes.c_int64 * RESIDENT_PAGES)(), (ctypes.c_int64 * 1)()
        self._callback = fault_handler(region.start, *(
            ctypes.addressof(a) for a in (self.state, self.reads, self.writes, self.ring, self.head)
        ))  # fmt: skip

    def install(self) -> None:
        """From now on faults are counted; those outside the region end the process, as ever."""

        class Action(ctypes.Structure):  # struct sigaction
            _fields_ = [
                ("handler", ctypes.c_void_p), ("mask", ctypes.c_uint64 * 16), ("flags", ctypes.c_int),
                ("restorer", ctypes.c_void_p),
            ]

        action = Action(handler=self._callback.address, flags=SIGINFO)
        if libc.sigaction(int(signal.SIGSEGV), ctypes.byref(action), None):
            raise OSError("no handler for faults could be set")

    def close(self) -> None:
        """Nothing is in the cache, nothing counted."""
        for array in (self.state, self.reads, self.writes, self.ring, self.head):
            ctypes.memset(array, 0, ctypes.sizeof(array))
        libc.mprotect(self.region.start, REGION_BYTES, NONE)

    def open(self) -> None:
        """Everything may be touched, nothing is counted any more."""
        libc.mprotect(self.region.start, REGION_BYTES, WRITE)

    def pages_of(self, array: np.ndarray) -> slice:
        first = (array.ctypes.data - self.region.start) // PAGE
        return slice(first, first - (-array.nbytes // PAGE))


def fault_handler(start: int, state: int, reads: int, writes: int, ring: int, head: int):
    """The compiled handler of SIGSEGV; addresses of what it uses."""
    from llvmlite import ir
    from numba import carray, cfunc, types
    from numba.extending import intrinsic

    pointer = types.CPointer(types.int64)

    @intrinsic
    def at(typing, address):
        def code(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())

        return pointer(types.int64), code

    mprotect, give_up = libc.mprotect, libc.signal
    num_pages, fault, page_bytes, resident = REGION_BYTES // PAGE, int(signal.SIGSEGV), PAGE, RESIDENT_PAGES

    @cfunc(types.void(types.int32, pointer, pointer), error_model="numpy")
    def on_fault(number, info, context):
        address, error = carray(info, 16)[ADDRESS_WORD], carray(context, 64)[ERROR_WORD]
        page = (address - start) // page_bytes
        if address < start or page >= num_pages:
            give_up(fault, 0)  # the default: the instruction faults again, and the process ends
            return
        states, queue, came = carray(at(state), num_pages), carray(at(ring), resident), carray(at(head), 1)
        if states[page] == 0:
            slot = came[0] % resident
            if came[0] >= resident:
                oldest = queue[slot]
                states[oldest] = 0
                mprotect(start + oldest * page_bytes, page_bytes, 0)
            queue[slot] = page
            came[0] += 1
        if error & WRITE_FAULT:
            carray(at(writes), num_pages)[page] += 1
            states[page] = WRITE
        else:
            carray(at(reads), num_pages)[page] += 1
            states[page] = READ
        mprotect(start + page * page_bytes, page_bytes, states[page])

    return on_fault


def count(versions, num_rows: int, num_columns: int, dtype: str) -> list[list]:
    """The rows that are printed."""
    from labkit.softmax.ladder import find_version

    region = Region()
    _kept.append(own_arrays(region))
    counters = Counters(region)
    values = np.random.default_rng(1).standard_normal((num_rows, num_columns)).astype(dtype)
    counters.install()
    rows = []
    for name in versions:
        forward = find_version(name).forward
        x, out = values.copy(), np.empty_like(values)
        forward(x, out=out)  # compiles, and fills what is kept
        expected = out.copy()
        counters.close()
        forward(x, out=out)
        counters.open()
        if not np.array_equal(out, expected):
            raise ArithmeticError(f"{name} gave another result while it was watched")
        found = []
        for of_page in (counters.reads, counters.writes):
            everything = np.ctypeslib.as_array(of_page)
            own = sum(int(everything[counters.pages_of(array)].sum()) for array in (x, out))
            found.append((own * PAGE / x.nbytes, (int(everything.sum()) - own) * PAGE / x.nbytes))
        (reads, extra_reads), (writes, extra_writes) = found
        rows.append([name, reads, writes, extra_reads, extra_writes])
    return rows


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one thread: the handler counts without locks
    print(json.dumps(count(**json.loads(sys.stdin.read()))), flush=True)
    os._exit(0)  # NumPy's arrays would be freed after the allocator is gone


if __name__ == "__main__":
    main()
