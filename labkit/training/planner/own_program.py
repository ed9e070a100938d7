"""Run on MPI ranks by :mod:`.own_runs`: ``own_program.py FILE``; rank 0 prints JSON.

FILE is a pickle of model, data, options and plan. In turns, so that a drift of the machine's speed meets both: some
processes compute what one rank of the run computes, as many as there are cores; then the run itself, on all ranks. In
between messages and collectives of the mesh are measured. Of each, the median of the quickest turn counts: others who use
the machine for a while make whole turns slower.
"""

import copy
import json
import pickle
import statistics
import sys
import time
from collections import defaultdict

import numpy as np

WATCHED = 3  # steps at the beginning: layers allocate, and a pipeline watches its memory
SIZES = (64, 1024, 8192, 65536, 2**19, 2**22, 2**24)
MOST_ROUNDS = 20  # of a measurement of messages


def make_trainer(comm, case, mesh, plan):
    """The trainer of a run; of one process if the communicator is a pretended one."""
    from labkit.training.trainer import Trainer

    model, data, options, own = copy.deepcopy(case["model"]), case["data"], case["options"], case["plan"]
    if own.strategy != "hybrid":
        return Trainer(comm, model, data, options, strategy=own.strategy, progress=False, timeline=False)
    settings = {"sequence_parallel": own.sequence_parallel, "zero_stage": 0}
    return Trainer(
        comm, model, data, options, strategy="hybrid", mesh=mesh, plan=plan, progress=False, timeline=False, **settings
    )


# -- one process ---------------------------------------------------------------------------------------------


def measure_compute(workers, case) -> dict:
    """A :class:`.own_costs.ComputeCosts` as a dict: means over the processes, which compute at the same time."""
    from labkit.training.planner.pretended import Pretended, PretendedMesh

    own, options = case["plan"], case["options"]
    mesh = own.mesh
    log = []
    pretended = PretendedMesh(mesh.dp, mesh.pp, mesh.tp, mesh.order)
    plan = own.one_rank_plan(options.num_micro_batches)
    with make_trainer(Pretended(mesh.size, "world", log), case, pretended, plan) as trainer:
        trainer.model.train()
        steps = []
        for number in range(case["num_steps"]):
            workers.Barrier()
            trainer.recorder.spans.clear()
            log.clear()
            trainer._one_step(None)
            if number >= WATCHED:
                steps.append(step_parts(trainer.recorder, log, plan, mesh))
        found = middle(steps)
        found |= stage_costs(trainer, plan, mesh)
        found["edge_s"] = max(0.0, found["edge_s"] - sum(found["zero_s"]) - sum(found["norm_s"]))
    everyone = workers.allgather(found)
    return {key: mean_of([one[key] for one in everyone]) for key in found}


def step_parts(recorder, log, plan, mesh) -> dict:
    """One step of one process: times and collectives by stage."""
    start, end = recorder.steps[-1]
    work = [s for s in recorder.spans if s[2] == "compute" and s[1] != "optimizer"]
    optimizer = sum(s[4] - s[3] for s in recorder.spans if s[1] == "optimizer")
    times, calls = defaultdict(list), defaultdict(list)
    for _, name, _, first, last, _ in work:
        key = {"forward": ("F", 0), "backward": ("BW", 0)}.get(name) or kind_and_stage(name)
        times[key].append((last - first) / 1e9)
        calls[key].append([(c.axis, c.kind, c.num_bytes) for c in log if first <= c.time_ns <= last])
    first, last = min(s[3] for s in work), max(s[4] for s in work)
    inside = sum(s[4] - s[3] for s in work)

    def row(*kinds):
        return [sum(statistics.fmean(times[k, s]) for k in kinds if (k, s) in times) for s in range(plan.num_stages)]

    def calls_of(*kinds):
        return [sum((calls[k, s][0] for k in kinds if (k, s) in calls), []) for s in range(plan.num_stages)]

    after = [(c.axis, c.kind, c.num_bytes) for c in log if c.time_ns > last]
    if plan.num_stages > 1 and mesh.pp > 1:
        after.append(("pp", "allgather", 8))  # the end of a step of the executor
    return {
        "forward_s": row("F"), "backward_s": row("B", "BW"), "weight_s": row("W"),
        "forward_calls": calls_of("F"), "backward_calls": calls_of("B", "BW"), "weight_calls": calls_of("W"),
        "gap_s": (last - first - inside) / len(work) / 1e9, "step_calls": [c for c in after if c[2]],
        "edge_s": max(0, (first - start) + (end - last) - optimizer) / 1e9,
    }


def kind_and_stage(name):
    from labkit.training.pipeline.actions import Action

    action = Action.parse(name)
    return action.kind, action.stage


def stage_costs(trainer, plan, mesh) -> dict:
    """What a step does once with the parameters of each stage; bytes."""
    import torch

    from labkit.training.options import make_optimizer

    strategy = trainer.strategy
    cut = getattr(strategy, "cut", None)
    if cut is None or plan.num_stages == 1:
        parts = [list(strategy.parameters)]
    else:
        parts = [[strategy.model.get_parameter(name) for name in stage.parameters] for stage in cut.stages]
        parts = [[p for p in part if p.requires_grad] for part in parts]
    found = defaultdict(list)
    for part in parts:
        copies = [torch.nn.Parameter(p.detach().clone()) for p in part]
        flat = torch.zeros(sum(p.numel() for p in copies), dtype=copies[0].dtype)  # as buckets have them
        place = 0
        for p in copies:
            p.grad = flat[place : place + p.numel()].view_as(p)
            place += p.numel()
        optimizer = make_optimizer(copies, trainer.options)
        norm = lambda copies=copies: [float(torch.linalg.vector_norm(p.grad.float())) for p in copies]  # noqa: E731
        needs = trainer.options.check_gradients or trainer.options.max_gradient_norm is not None
        found["zero_s"].append(seconds_of(flat.zero_))
        found["norm_s"].append(seconds_of(norm) if needs else 0.0)
        found["optimizer_s"].append(seconds_of(optimizer.step))
        found["gradient_bytes"].append(flat.nbytes)
    executor = getattr(strategy, "executor", None)
    boundaries, tied = [], 0
    if executor is not None and plan.num_stages > 1:
        for (_, samples, _), layout in executor.layouts.items():
            if samples == max(key[1] for key in executor.layouts):
                boundaries.append(sum(
                    int(np.prod(shape)) * dtype.itemsize
                    for shape, dtype in zip(layout.shapes, layout.dtypes, strict=True) if shape is not None
                ))
        tied = sum(strategy.model.get_parameter(name).nbytes for name in cut.tied)
    return dict(found) | {"boundary_bytes": boundaries, "tied_bytes": tied}


def seconds_of(action, rounds=9):
    """The median of several calls."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def middle(steps) -> dict:
    """Medians of times over steps; of everything else what the last one says."""
    found = dict(steps[-1])
    for key in steps[-1]:
        if key.endswith("_s"):
            found[key] = np.median([step[key] for step in steps], axis=0).tolist()
    return found


def mean_of(values):
    first = values[0]
    if isinstance(first, float) or isinstance(first, list) and first and isinstance(first[0], float):
        return np.mean(values, axis=0).tolist()
    return first


# -- messages ------------------------------------------------------------------------------------------------


def measure_network(world, case, most_bytes) -> dict:
    """A :class:`.own_costs.NetworkCosts` as a dict; the slowest group counts."""
    mesh = case["plan"].mesh
    groups = {axis: comm for axis, comm in mesh.communicators(world).items() if mesh.shape[axis] > 1}
    times, rounds = {}, min(MOST_ROUNDS, 5 * case["num_turns"] + 3)
    for axis, comm in {**groups, "world": world}.items():
        largest = max(most_bytes.get(axis, 0), 1024)
        sizes = [n for n in SIZES if n < 4 * largest]
        times[f"{axis} allgather"] = [(n, timed(world, rounds, lambda n=n: gather(comm, n))) for n in sizes[:3]]
        between = (lambda: None) if axis == "tp" else use_memory  # inside a layer all is in the caches
        times[f"{axis} allreduce"] = [(n, timed(world, rounds, *reduction(comm, n, between))) for n in sizes]
        if axis == "pp":
            times["pp message"] = messages(world, comm, sizes, rounds)
    for axis, size in mesh.shape.items():
        if size == 1:  # a group of one has nothing to say
            times |= {f"{axis} {kind}": [(64, 0.0), (2**24, 0.0)] for kind in ("allgather", "allreduce")}
    for key in [key for key in times if key.endswith("allreduce")]:
        axis = key.split()[0]
        times[f"{axis} broadcast"] = times[f"{axis} reduce_scatter"] = times[key]
    shares = (0.0, 0.0, 0.0)
    if world.size > case["num_cores"] > 1:
        shares = waiting_shares(world, case["num_cores"], rounds // 4)
    return {"times": times, "waiting_share": shares[0], "ended_share": shares[1], "late_s": shares[2]}


def use_memory(scratch=np.ones(2**22)):
    """What a step does between two sums of gradients: other values are in the caches."""
    np.multiply(scratch, 0.5, out=scratch)


def gather(comm, num_bytes):
    part = np.zeros(num_bytes // 8)
    comm.Allgather(part, np.empty((comm.size, len(part))))


def reduction(comm, num_bytes, between=lambda: None):
    from mpi4py import MPI

    vector = np.zeros(num_bytes // 4, np.float32)

    def prepare():
        between()
        vector[:] = 1  # as a backward pass has written it

    return lambda: comm.Allreduce(MPI.IN_PLACE, vector), prepare


def timed(world, rounds, action, prepare=lambda: None):
    """The median of the slowest rank's times, after all have met."""
    from mpi4py import MPI

    found = []
    for _ in range(rounds):
        prepare()
        world.Barrier()
        started = time.perf_counter()
        action()
        seconds = time.perf_counter() - started
        found.append(world.allreduce(seconds, MPI.MAX))
    return statistics.median(found[2:])


def messages(world, comm, sizes, rounds):
    """Half of a tensor's way to the next stage and back, with the executor's own messages."""
    import torch

    from labkit.training.pipeline.transport import FIRST_TAG, Transport

    transport = Transport(comm, torch.device("cpu"))
    peer, rows = comm.rank ^ 1, []
    for num_bytes in sizes:
        tensor, found = torch.zeros(num_bytes // 4), []
        for _ in range(rounds):
            world.Barrier()
            started = time.perf_counter()
            if peer < comm.size:
                for turn in (0, 1):
                    if comm.rank % 2 == turn:
                        transport.send(peer, FIRST_TAG, tensor)
                    else:
                        transport.post(peer, FIRST_TAG, tuple(tensor.shape), tensor.dtype).wait()
            transport.close_step()
            found.append(time.perf_counter() - started)
        empty = []
        for _ in range(rounds):
            world.Barrier()
            started = time.perf_counter()
            transport.close_step()
            empty.append(time.perf_counter() - started)
        rows.append((num_bytes, max(1e-6, (statistics.median(found) - statistics.median(empty)) / 2)))
    transport.close()
    everyone = world.allgather(rows)
    return [(n, max(of_rank[k][1] for of_rank in everyone)) for k, n in enumerate(sizes)]


def waiting_shares(world, num_cores, rounds):
    """What the ranks that wait take away: by how much the others, one a core, get slower. And how much later than by
    even shares the last rank comes to a meeting, when all compute as much before."""
    import torch

    from labkit.training.pipeline.transport import FIRST_TAG, Transport

    matrix = torch.ones(256, 256)
    transport = Transport(world, torch.device("cpu"))
    is_worker = world.rank < num_cores
    workers = world.Split(int(is_worker), world.rank)
    helper = lambda rank: rank % num_cores  # noqa: E731
    found = {"sleeps": [], "waits": [], "polls": []}
    def compute():
        started = time.perf_counter()
        for _ in range(240):
            matrix @ matrix
        return started

    together = []
    for _ in range(rounds):
        world.Barrier()
        started = compute()
        world.Barrier()
        together.append(time.perf_counter() - started)
        for way in found:
            world.Barrier()
            if is_worker:
                workers.Barrier()
                started = compute()
                found[way].append(workers.allreduce(time.perf_counter() - started) / num_cores)
                for rank in range(num_cores, world.size):
                    if helper(rank) == world.rank and way == "waits":
                        transport.send(rank, FIRST_TAG, torch.zeros(1))
                    elif helper(rank) == world.rank and way == "sleeps":
                        world.send(None, rank, 7)
            elif way == "waits":
                transport.post(helper(world.rank), FIRST_TAG, (1,), torch.float32).wait()
            elif way == "sleeps":
                while not world.Iprobe(helper(world.rank), 7):
                    time.sleep(0.01)
                world.recv(source=helper(world.rank), tag=7)
            world.Barrier()
    transport.close_step()
    transport.close()
    num_waiting = world.size - num_cores
    alone, *others = (statistics.median(found[way]) if found[way] else 1.0 for way in ("sleeps", "waits", "polls"))
    shares = [min(1.0, max(0.0, (slow / alone - 1) * num_cores / num_waiting)) for slow in others]
    late_s = max(0.0, statistics.median(together) - alone * world.size / num_cores)
    return world.bcast([*shares, late_s])


# -- the real run --------------------------------------------------------------------------------------------


def measure_run(world, case) -> list:
    """Of every step that counts: (seconds on the slowest rank, parts of each rank)."""
    own = case["plan"]
    plan = own.plan(case["options"].num_micro_batches)
    with make_trainer(world, case, own.mesh, plan) as trainer:
        trainer.model.train()
        rows = []
        for number in range(case["num_steps"]):
            trainer.recorder.spans.clear()
            trainer._one_step(None)
            if number >= WATCHED:
                rows.append(real_parts(trainer.recorder, own.mesh.pp > 1))
    return world.allgather(rows)


def real_parts(recorder, is_pipeline) -> list[float]:
    """(Step, computing, waiting, communication, optimizer and the rest) of one rank, in s."""
    start, end = recorder.steps[-1]
    spans = [s for s in recorder.spans if s[0] == "main"]
    compute = [(s[3], s[4]) for s in spans if s[2] == "compute" and s[1] != "optimizer"]
    talk = [(s[3], s[4]) for s in spans if s[2] == "collective"]
    agree = next(s[3] for s in spans if s[1] == "agree")
    inside = sum(b - a for a, b in talk if any(first <= a and b <= last for first, last in compute))
    computing = sum(b - a for a, b in compute) - inside
    talking = sum(b - a for a, b in talk)
    before = sum(b - a for a, b in talk if b <= agree)
    waiting = agree - start - computing - before if is_pipeline else 0
    total = end - start
    return [t / 1e9 for t in (total, computing, waiting, talking, total - computing - waiting - talking)]


# -- turns ---------------------------------------------------------------------------------------------------


def meet(world) -> None:
    """A barrier that leaves the cores to others."""
    request = world.Ibarrier()
    while not request.Test():
        time.sleep(0.005)


def most_bytes_of(compute) -> dict:
    """The longest vector along each axis."""
    most = {"pp": max([compute["tied_bytes"], *compute["boundary_bytes"]])}
    inside = [row for name in ("forward_calls", "backward_calls", "weight_calls") for row in compute[name]]
    for axis, _, num_bytes in [*compute["step_calls"], *(call for row in inside for call in row)]:
        most[axis] = max(most.get(axis, 0), num_bytes)
    return most


def main() -> None:
    import gc

    import torch

    torch.set_num_threads(1)
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    with open(sys.argv[1], "rb") as file:
        case = pickle.load(file)
    computes = world.rank < min(case["num_cores"], world.size)
    workers = world.Split(int(computes), world.rank)
    gc.disable()
    alone, network, steps = [], None, []
    for _ in range(case["num_turns"]):
        if computes:
            alone.append(measure_compute(workers, case))
        meet(world)
        if network is None:
            network = measure_network(world, case, world.bcast(most_bytes_of(alone[0]) if computes else None))
            meet(world)
        if case["runs"]:
            steps.append(measure_run(world, case))
            meet(world)
        gc.collect()
    if world.rank == 0:
        quiet = min(alone, key=lambda turn: sum(sum(turn[k]) for k in ("forward_s", "backward_s", "weight_s")))
        print(json.dumps({"compute": quiet, "network": network, "steps": steps}), flush=True)


if __name__ == "__main__":
    main()
