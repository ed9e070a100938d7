"""Programs as MPI textbooks have them, word for word on simulated and on real ranks: one result, which is known."""

import random
import re

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from labkit.errors import CellError

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(200)]

HEAD = "from mpi4py import MPI\nimport numpy as np\ncomm = MPI.COMM_WORLD\nrank = comm.Get_rank()\nsize = comm.Get_size()\n"


def game_of_life(num_steps, n=12):
    board = np.array([[(3 * i * i + 5 * j + i * j) % 7 < 3 for j in range(n)] for i in range(n)], np.int32)
    for _ in range(num_steps):
        around = sum(np.roll(np.roll(board, a, 0), b, 1) for a in (-1, 0, 1) for b in (-1, 0, 1)) - board
        board = ((around == 3) | ((board == 1) & (around == 2))).astype(np.int32)
    return board


def monte_carlo(size, n=500):
    inside = 0
    for rank in range(size):
        draw = random.Random(rank)
        inside += sum(draw.random() ** 2 + draw.random() ** 2 <= 1 for _ in range(n))
    return 4 * inside / (n * size)


def all_pairs(size):
    xs = [float(k * k % 11 + k / 7) for k in range(size)]
    return [sum(1 / (x - y) for y in xs if y != x) for x in xs]


# name: (program, what `result` is on each rank, given the number of ranks)
PROGRAMS = {
    "ring": (
        "token = np.array([rank], dtype='i')\nincoming = np.empty(1, dtype='i')\ntotal = rank\n"
        "for step in range(size - 1):\n"
        "    request = comm.Isend([token, MPI.INT], dest=(rank + 1) % size, tag=step)\n"
        "    comm.Recv([incoming, MPI.INT], source=(rank - 1) % size, tag=step)\n"
        "    request.Wait()\n    token[:] = incoming\n    total += int(token[0])\nresult = total",
        lambda p: [p * (p - 1) // 2] * p,
    ),
    "pi by reduce": (
        "n = 1000\nh = 1.0 / n\nn = comm.bcast(n, root=0)\ns = sum(4.0 / (1.0 + (h * (i + 0.5)) ** 2) for i in range(rank, n, size))\n"
        "mypi = np.array(h * s)\npi = np.array(0.0)\ncomm.Reduce([mypi, MPI.DOUBLE], [pi, MPI.DOUBLE], op=MPI.SUM, root=0)\n"
        "result = round(float(pi), 6) if rank == 0 else None",
        lambda p: [round(sum(4 / (1 + ((i + 0.5) / 1000) ** 2) for i in range(1000)) / 1000, 6)] + [None] * (p - 1),
    ),
    "odd-even sort": (
        "mine = np.sort((np.arange(5) * 7 + rank * 13) % 31).astype('d')\nother = np.empty_like(mine)\n"
        "for phase in range(size):\n    right = (phase + rank) % 2 == 0\n    partner = rank + 1 if right else rank - 1\n"
        "    if partner < 0 or partner >= size:\n        partner = MPI.PROC_NULL\n"
        "    status = MPI.Status()\n    comm.Sendrecv(mine, partner, 0, other, partner, 0, status)\n"
        "    if partner != MPI.PROC_NULL:\n        assert status.Get_source() == partner and status.Get_count(MPI.DOUBLE) == 5\n"
        "        both = np.sort(np.concatenate([mine, other]))\n        mine = both[:5].copy() if right else both[5:].copy()\n"
        "gathered = np.empty(5 * size) if rank == 0 else None\ncomm.Gather(mine, gathered, root=0)\n"
        "result = gathered.tolist() if rank == 0 else None",
        lambda p: [sorted(float((7 * k + 13 * r) % 31) for r in range(p) for k in range(5))] + [None] * (p - 1),
    ),
    "matrix-vector": (
        "n = 2 * size\nA = np.arange(n * n, dtype='d').reshape(n, n) if rank == 0 else None\nx = np.empty(n)\n"
        "if rank == 0:\n    x[:] = np.arange(n) - 1\ncomm.Bcast([x, MPI.DOUBLE], root=0)\nrows = np.empty((2, n))\n"
        "comm.Scatter(A, rows, root=0)\ny = np.empty(n)\ncomm.Allgather([rows @ x, MPI.DOUBLE], [y, MPI.DOUBLE])\nresult = y.tolist()",
        lambda p: [(np.arange(4.0 * p * p).reshape(2 * p, 2 * p) @ (np.arange(2.0 * p) - 1)).tolist()] * p,
    ),
    "game of life with halo": (
        "n = 12\nfirst, last = n * rank // size, n * (rank + 1) // size\ncart = comm.Create_cart([size], periods=[True])\n"
        "up, down = cart.Shift(0, 1)\nboard = np.zeros((last - first + 2, n), dtype=np.int32)\n"
        "for i in range(first, last):\n    board[i - first + 1] = [(3 * i * i + 5 * j + i * j) % 7 < 3 for j in range(n)]\n"
        "for step in range(6):\n    cart.Sendrecv(board[1], up, 1, board[-1], down, 1)\n"
        "    cart.Sendrecv(board[-2], down, 2, board[0], up, 2)\n"
        "    around = sum(np.roll(board, b, 1)[1 + a:board.shape[0] - 1 + a] for a in (-1, 0, 1) for b in (-1, 0, 1)) - board[1:-1]\n"
        "    board[1:-1] = (around == 3) | ((board[1:-1] == 1) & (around == 2))\n"
        "counts = [n * (n * (r + 1) // size - n * r // size) for r in range(size)]\n"
        "whole = np.empty((n, n), np.int32) if rank == 0 else None\n"
        "comm.Gatherv(np.ascontiguousarray(board[1:-1]), [whole, counts] if rank == 0 else None, root=0)\n"
        "result = whole.tolist() if rank == 0 else None",
        lambda p: [game_of_life(6).tolist()] + [None] * (p - 1),
    ),
    "prefix sums": (
        "mine = np.arange(3.0) + rank\nlocal = np.cumsum(mine)\noffset = np.zeros(1)\ncomm.Exscan(local[-1:], offset, op=MPI.SUM)\n"
        "if rank == 0:\n    offset[0] = 0\nresult = ((local + offset).tolist(), comm.scan(rank + 1), comm.exscan(rank + 1))",
        lambda p: [
            (np.cumsum(np.concatenate([np.arange(3.0) + r for r in range(p)]))[3 * r : 3 * r + 3].tolist(),
             (r + 1) * (r + 2) // 2, r * (r + 1) // 2 if r else None)
            for r in range(p)
        ],
    ),
    "master-worker": (
        "WORK, STOP = 1, 2\nif rank == 0:\n    tasks = list(range(10))\n    answers = {}\n    status = MPI.Status()\n    busy = 0\n"
        "    for worker in range(1, size):\n        comm.send(tasks.pop(), dest=worker, tag=WORK)\n        busy += 1\n"
        "    while busy:\n        task, answer = comm.recv(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=status)\n"
        "        answers[task] = answer\n        assert status.tag == WORK\n        if tasks:\n"
        "            comm.send(tasks.pop(), dest=status.Get_source(), tag=WORK)\n        else:\n"
        "            comm.send(None, dest=status.Get_source(), tag=STOP)\n            busy -= 1\n"
        "    result = sorted(answers.items())\nelse:\n    status = MPI.Status()\n    while True:\n"
        "        task = comm.recv(source=0, tag=MPI.ANY_TAG, status=status)\n        if status.Get_tag() == STOP:\n            break\n"
        "        comm.send((task, task ** 2), dest=0, tag=WORK)\n    result = 'done'",
        lambda p: [[(k, k * k) for k in range(10)]] + ["done"] * (p - 1),
    ),
    "all pairs": (
        "x = float(rank * rank % 11 + rank / 7)\ntravelling = np.array([x])\nforce = 0.0\nfor step in range(size - 1):\n"
        "    comm.Sendrecv_replace(travelling, dest=(rank + 1) % size, sendtag=0, source=(rank - 1) % size, recvtag=0)\n"
        "    force += 1 / (x - travelling[0])\nresult = round(float(force), 9)",
        lambda p: [round(f, 9) for f in all_pairs(p)],
    ),
    "Monte-Carlo": (
        "import random\nrandom.seed(rank)\ninside = 0\nfor k in range(500):\n    x, y = random.random(), random.random()\n"
        "    inside += x * x + y * y <= 1\n    if k % 100 == 0:\n        comm.Barrier()\n"
        "total = comm.allreduce(inside, op=MPI.SUM)\nresult = 4 * total / (500 * size)",
        lambda p: [monte_carlo(p)] * p,
    ),
    "broadcast tree": (
        "value = {'answer': 42} if rank == 0 else None\nstep = 1\nwhile step < size:\n    if rank < step and rank + step < size:\n"
        "        comm.send(value, dest=rank + step, tag=step)\n    elif step <= rank < 2 * step:\n"
        "        value = comm.recv(source=rank - step, tag=step)\n    step *= 2\nresult = value['answer']",
        lambda p: [42] * p,
    ),
    "nonblocking halo with Waitall": (
        "left, right = (rank - 1) % size, (rank + 1) % size\nfield = np.full(4, float(rank))\nhalo = np.empty(2)\n"
        "requests = [comm.Irecv(halo[:1], source=left, tag=1), comm.Irecv(halo[1:], source=right, tag=2),\n"
        "            comm.Isend(field[-1:], dest=right, tag=1), comm.Isend(field[:1], dest=left, tag=2)]\n"
        "statuses = [MPI.Status() for _ in requests]\nMPI.Request.Waitall(requests, statuses)\n"
        "result = (halo.tolist(), [s.Get_tag() for s in statuses[:2]], [s.Get_count(MPI.DOUBLE) for s in statuses[:2]])",
        lambda p: [([float((r - 1) % p), float((r + 1) % p)], [1, 2], [1, 1]) for r in range(p)],
    ),
    "maximum and its place": (
        "values = np.array([(rank * 5 + k * 3) % 17 for k in range(4)], 'd')\n"
        "best = comm.allreduce((values.max(), rank), op=MPI.MAXLOC)\nresult = (float(best[0]), int(best[1]))",
        lambda p: [max(((float(max((r * 5 + k * 3) % 17 for k in range(4))), r) for r in range(p)), key=lambda v: (v[0], -v[1]))] * p,
    ),
}

SLIPS = {
    "a root that forgets its list": ("comm.scatter(None, root=0)", "scatter"),
    "too short a list": ("comm.scatter([1], root=0)", "1"),
    "a rank that is not there": ("comm.send(1, dest=comm.size)", "there is no rank 3"),
    "a negative tag": ("comm.send(1, dest=0, tag=-5)", "tag"),
    "too small a buffer": (
        "if comm.rank == 0:\n    comm.Send(np.zeros(10), 1)\nelif comm.rank == 1:\n    comm.Recv(np.empty(2), 0)", "80",
    ),
    "everybody receives first": ("comm.recv(source=(comm.rank + 1) % comm.size)", "a cycle 0 -> 1 -> 2 -> 0"),
    "one rank leaves out the collective": ("if comm.rank != 2:\n    comm.bcast(1, root=0)", "rank 2"),
    "roots differ": ("comm.bcast(1, root=comm.rank % 2)", "root"),
    "a list in place of an array": ("comm.Send([1, 2, 3], dest=(comm.rank + 1) % 3)", "rank"),
    "a name with a capital letter too few": ("comm.Isned(np.zeros(1), 0)", "Isned"),
    "a strided column": ("comm.Send(np.zeros((4, 4))[:, 1], dest=(comm.rank + 1) % 3)", "contiguous"),
    "a call that does not exist": ("import numpy\nx = comm.Get_Rank()", "Get_Rank"),
}


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")
    yield shell
    shell.run_line_magic("mpi_stop", "")


def results(shell, line, program):
    with capture_output() as captured:
        shell.run_cell_magic("mpi", line, f"{program}\nprint('result', repr(result))")
    text = re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout)
    found = {int(r): eval(value) for r, value in re.findall(r"rank +(\d+) │ result (.*)", text)}
    return [found[rank] for rank in range(len(found))]


@pytest.mark.parametrize("name", PROGRAMS)
def test_simulated_and_real_ranks_give_the_known_result(shell, name):
    program, expected = PROGRAMS[name]
    for num_ranks in (1, 2, 3, 4, 5) if name != "master-worker" else (2, 3, 5):
        assert results(shell, f"--sim {num_ranks}", HEAD + program) == expected(num_ranks)
    assert results(shell, "-n 3 --timeout 60", HEAD + program) == expected(3)


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_named_on_both(shell, name):
    cell, words = SLIPS[name]
    last = 1 + len(cell.splitlines())  # the slip is on the last line; the first is that of %%mpi
    kinds = []
    for line in ("--sim 3", "-n 3 --timeout 60"):
        with pytest.raises(CellError) as caught, capture_output():
            shell.run_cell_magic("mpi", line, cell)
        text = re.sub(r"\x1b\[[0-9;]*m", "", str(caught.value))
        assert words in text
        assert re.search(rf"line +{last}\b|----> {last} ", text)
        kinds.append(type(caught.value))
    assert kinds[0] is kinds[1]
