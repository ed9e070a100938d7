"""Simulated times against the longest path; bubbles against the textbooks; memory against counting."""

import random

import pytest

from labkit.errors import UsageError
from labkit.training.pipeline.formulas import bubble_of_ideal, gpipe_idle_share, zero_bubble_idle_s
from labkit.training.pipeline.gpipe import gpipe
from labkit.training.pipeline.interleaved import interleaved
from labkit.training.pipeline.memory import memory_over_time
from labkit.training.pipeline.one_f_one_b import one_f_one_b
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import peak_in_flight
from labkit.training.pipeline.schedules import SCHEDULES, make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate
from labkit.training.pipeline.timeline import planned_timeline
from labkit.training.pipeline.zero_bubble import zb_h1, zb_h2

V = "v: ranks 2, stages 4, micro-batches 1, placement 0 1 1 0\n0: 0F0 3F0 3B0 3W0 0BW0\n1: 1F0 2F0 2BW0 1BW0"


def longest_path(plan, forward, backward, weight, communication):
    """By another way, edge by edge: {(rank, position): (start, end)}; times are functions of (stage, slice)."""
    place = {}
    for rank, of_rank in enumerate(plan.actions):
        for position, a in enumerate(of_rank):
            for kind in ("B", "W") if a.kind == "BW" else (a.kind,):
                place[kind, a.stage, a.microbatch, a.slice or 0] = rank, position
    edges, length = {}, {}
    for rank, of_rank in enumerate(plan.actions):
        for position, a in enumerate(of_rank):
            node, part = (rank, position), a.slice or 0
            time = {"F": forward, "B": backward, "W": weight, "BW": lambda *at: backward(*at) + weight(*at)}[a.kind]
            length[node] = time(a.stage, part)
            edges[node] = [((rank, position - 1), 0.0)] if position else []
            wanted = []
            if a.kind == "F":
                wanted = [("F", a.stage - 1, a.microbatch, part), ("F", a.stage, a.microbatch, part - 1)]
            elif a.kind != "W":
                wanted = [
                    ("F", a.stage, a.microbatch, part), ("B", a.stage + 1, a.microbatch, part),
                    ("B", a.stage, a.microbatch, part + 1),
                ]  # fmt: skip
            else:
                wanted = [("B", a.stage, a.microbatch, part)]
            for one in wanted:
                if one in place:
                    edges[node].append((place[one], communication if place[one][0] != rank else 0.0))
    # relax as often as there are nodes on the longest path (Bellman and Ford): slow, and needs no order
    start = dict.fromkeys(edges, 0.0)
    for _ in range(len(edges) + 1):
        changed = False
        for node, sources in edges.items():
            best = max((start[source] + length[source] + wait for source, wait in sources), default=0.0)
            if best > start[node]:
                start[node], changed = best, True
        if not changed:
            return {node: (start[node], start[node] + length[node]) for node in edges}
    raise AssertionError("the plan has a circle")


def _plans(rng):
    for name in SCHEDULES:
        p, m = rng.randint(1, 5), rng.randint(1, 6)
        yield make_plan(name, p, p * m if name == "interleaved" else m, num_chunks=rng.randint(1, 3), num_slices=3)
    yield Plan.parse(V)


def test_times_are_the_longest_path():
    rng = random.Random(5)
    for _ in range(12):
        for plan in _plans(rng):
            n, k = plan.num_stages, plan.num_slices
            f, b, w = ([[rng.choice([0.0, 1.0, rng.random() * 3]) for _ in range(k)] for _ in range(n)] for _ in "FBW")
            wait = rng.choice([0.0, 0.5, rng.random()])
            run = simulate(plan, StageTimes(f, b, w, wait))
            oracle = longest_path(plan, *(lambda s, q, table=table: table[s][q] for table in (f, b, w)), wait)
            for (rank, position), (start, end) in oracle.items():
                assert run.start_s[rank][position] == pytest.approx(start, abs=1e-12)
                assert run.end_s[rank][position] == pytest.approx(end, abs=1e-12)
            assert run.step_s == pytest.approx(max(end for _, end in oracle.values()))


def test_times_by_hand():
    """Two stages; the second takes twice as long, messages take 0.5."""
    run = simulate(one_f_one_b(2, 2), StageTimes((1.0, 2.0), (1.0, 2.0), (1.0, 2.0), 0.5))
    # rank 0: F0 0-1, F1 1-2, waits for B0; rank 1: F0 1.5-3.5, BW0 3.5-7.5, F1 7.5-9.5, BW1 9.5-13.5
    assert run.start_s == ((0.0, 1.0, 8.0, 14.0), (1.5, 3.5, 7.5, 9.5))
    assert run.end_s == ((1.0, 2.0, 10.0, 16.0), (3.5, 7.5, 9.5, 13.5))
    assert run.step_s == 16.0 and run.busy_s == (6.0, 12.0)
    assert run.idle_share == (10 / 16, 4 / 16) and run.bubble_fraction == 14 / 32
    assert run.cost_s == 16.0 and run.bubble_rate == 4 / 16 and run.bubble_of_ideal == 4 / 12


def test_bubbles_of_the_textbooks_are_exact():
    for p in range(1, 9):
        for m in (p, 2 * p, 3 * p, 8 * p):
            for f, b, w in ((1.0, 1.0, 1.0), (2.0, 3.0, 1.0), (4.0, 2.0, 2.0)):
                times = StageTimes(f, b, w)
                share, ratio = gpipe_idle_share(p, m), bubble_of_ideal(p, m)
                for plan in (gpipe(p, m), one_f_one_b(p, m)):
                    run = simulate(plan, times)
                    assert run.bubble_fraction == pytest.approx(share, abs=1e-12)
                    assert run.idle_share == pytest.approx([share] * p, abs=1e-12)
                    assert run.bubble_of_ideal == pytest.approx(ratio, abs=1e-12)
                for v in (1, 2, 4):
                    run = simulate(interleaved(p, m, v), StageTimes(f / v, b / v, w / v))
                    assert run.bubble_of_ideal == pytest.approx(bubble_of_ideal(p, m, v), abs=1e-12)
                if m >= 2 * p - 1 and w <= min(f, b):
                    for name, plan in (("1f1b", one_f_one_b(p, m)), ("zb-h1", zb_h1(p, m)), ("zb-h2", zb_h2(p, m))):
                        run = simulate(plan, times)
                        idle_s = run.cost_s - m * (f + b + w)
                        assert idle_s == pytest.approx(zero_bubble_idle_s(name, p, f, b, w), abs=1e-9), (name, p, m)


def test_memory_is_what_counting_gives():
    rng = random.Random(6)
    for plan in [*_plans(rng), *_plans(rng)]:
        run = simulate(plan, StageTimes(1.0, rng.random(), rng.random(), rng.random()))
        # W needs all of it: the peak is what the rules count
        kept = memory_over_time(run, weight_share=1.0)
        assert [memory.peak for memory in kept] == list(peak_in_flight(plan))
        sizes, share = [float(rng.randint(1, 9)) for _ in range(plan.num_stages)], rng.random()
        for rank, memory in enumerate(memory_over_time(run, activation=sizes, weight_share=share)):
            assert memory.amounts[-1] == 0.0 and list(memory.times_s) == sorted(set(memory.times_s))
            for time in [rng.random() * run.step_s for _ in range(20)]:
                held = 0.0
                for action, start, end in zip(plan.actions[rank], run.start_s[rank], run.end_s[rank], strict=True):
                    part = {"F": 1.0, "B": share - 1, "W": -share, "BW": -1.0}[action.kind]
                    held += sizes[action.stage] * part * (time >= (start if action.kind == "F" else end))
                place = max(k for k, one in enumerate(memory.times_s) if one <= time)
                assert memory.amounts[place] == pytest.approx(held, abs=1e-9)


def test_the_timeline_has_every_action_and_every_message():
    plan = zb_h1(3, 4)
    run = simulate(plan, StageTimes(2e-3, 2e-3, 1e-3, 5e-4))
    line = planned_timeline(run)
    assert [span.name for span in line.spans] == [str(action) for of_rank in plan.actions for action in of_rank]
    assert [span.rank for span in line.spans] == [rank for rank, of_rank in enumerate(plan.actions) for _ in of_rank]
    assert [span.start_ns for span in line.spans] == [round(t * 1e9) for of_rank in run.start_s for t in of_rank]
    assert len(line.messages) == 2 * 2 * 4 and line.duration_ns == round(run.step_s * 1e9)
    for message in line.messages:
        assert abs(message.source - message.dest) == 1 and message.recv_end_ns - message.send_end_ns == 500_000


def test_large_plans():
    for plan in (interleaved(64, 512, 2), gpipe(64, 512), zb_h2(64, 512)):
        chunks = plan.num_stages // 64
        run = simulate(plan, StageTimes(2.0 / chunks, 2.0 / chunks, 2.0 / chunks))
        expected = {"gpipe": 63 / 512, "interleaved": 63 / 1024, "zb-h2": 63 * 2 / (512 * 6)}[plan.name]
        assert run.bubble_of_ideal == pytest.approx(expected, rel=1e-9)  # zb-h2: the ranks begin one F after another


def test_times_that_are_refused():
    for wrong in (-1.0, float("nan"), float("inf"), "fast", None, [[[1.0]]]):
        with pytest.raises(UsageError, match="forward_s"):
            StageTimes(wrong, 1.0, 1.0)
        with pytest.raises(UsageError, match="communication_s"):
            StageTimes(1.0, 1.0, 1.0, wrong)
    with pytest.raises(UsageError, match="3 stages"):
        simulate(gpipe(3, 2), StageTimes((1.0, 2.0), 1.0, 1.0))
    run = simulate(gpipe(3, 2), StageTimes(1.0, 1.0, 1.0))
    with pytest.raises(UsageError, match="weight_share"):
        memory_over_time(run, weight_share=1.5)
    with pytest.raises(UsageError, match="3 stages"):
        memory_over_time(run, activation=(1.0, 2.0))
    with pytest.raises(UsageError, match="formula"):
        zero_bubble_idle_s("gpipe", 2, 1.0, 1.0, 1.0)


def test_nothing_takes_no_time():
    run = simulate(gpipe(2, 2), StageTimes(0.0, 0.0, 0.0))
    assert (run.step_s, run.bubble_fraction, run.bubble_rate, run.bubble_of_ideal) == (0.0, 0.0, 0.0, 0.0)
