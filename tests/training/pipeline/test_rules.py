"""Broken plans: each is caught, and the first broken action is named."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import PlanError, check_plan, first_broken, peak_in_flight
from labkit.training.pipeline.schedules import SCHEDULES, make_plan
from labkit.training.pipeline.simulate import StageTimes, simulate

HEAD = "a: ranks {}, stages {}, micro-batches {}\n"


@pytest.mark.parametrize(
    ("sizes", "lines", "rule", "rank", "position", "action"),
    [
        ((1, 1, 1), "0: 0F0 1BW0", "known", 0, 1, "1BW0"),
        ((1, 1, 1), "0: 0F0 0BW1", "known", 0, 1, "0BW1"),
        ((1, 1, 1), "0: 0F0.0 0BW0", "known", 0, 0, "0F0.0"),
        ((2, 2, 1), "0: 0F0 0BW0 1F0\n1: 1BW0", "missing", 1, 0, "1BW0"),
        ((2, 2, 1), "0: 0F0 1F0 0BW0\n1: 1F0 1BW0", "rank", 0, 1, "1F0"),
        ((1, 1, 2), "0: 0F0 0F1 0F0 0BW0 0BW1", "once", 0, 2, "0F0"),
        ((1, 1, 1), "0: 0F0 0B0 0BW0", "once", 0, 2, "0BW0"),
        ((1, 1, 1), "0: 0F0 0B0 0W0 0W0", "once", 0, 3, "0W0"),
        ((1, 1, 2), "0: 0F0 0BW1 0F1 0BW0", "order", 0, 1, "0BW1"),
        ((1, 1, 1), "0: 0F0 0W0 0B0", "order", 0, 1, "0W0"),
        ((1, 1, 1), "0: 0BW0 0F0", "order", 0, 0, "0BW0"),
        ((1, 1, 1), "0: 0F0 0B0", "missing", 0, 2, "0W0"),
        ((1, 1, 1), "0: 0F0 0W0", "missing", 0, 1, "0W0"),
        ((1, 1, 2), "0: 0F0 0BW0 0F1", "missing", 0, 3, "0B1"),
        ((1, 1, 2), "0: 0F0 0BW0", "missing", 0, 2, "0F1"),
        ((2, 2, 2), "0: 0F0 0BW0 0F1 0BW1\n1: 1F0 1F1 1BW0 1BW1", "deadlock", 0, 1, "0BW0"),
        ((2, 2, 2), "0: 0F0 0F1 0BW0 0BW1\n1: 1F1 1BW1 1F0 1BW0", None, None, None, None),
        ((2, 4, 1), "0: 0F0 2F0 2BW0 0BW0\n1: 3F0 1F0 3BW0 1BW0", "deadlock", 1, 0, "3F0"),
    ],
)
def test_the_first_broken_action(sizes, lines, rule, rank, position, action):
    broken = first_broken(Plan.parse(HEAD.format(*sizes) + lines))
    if rule is None:
        assert broken is None
        return
    assert (broken.rule, broken.rank, broken.position, str(broken.action)) == (rule, rank, position, action)
    assert f"rank {rank}, position {position}: {action} breaks the rule '{rule}'" in broken.message


def test_the_leftmost_is_first():
    plan = Plan.parse(HEAD.format(2, 2, 2) + "0: 0F0 0F1 0BW0 0BW1 0BW1\n1: 1F0 1F0 1BW0 1F1 1BW1")
    assert (first_broken(plan).rank, first_broken(plan).position) == (1, 1)


def test_slices_go_in_order_and_come_back_in_reverse():
    head = "a: ranks 1, stages 1, micro-batches 1, slices 2\n"
    check_plan(Plan.parse(head + "0: 0F0.0 0F0.1 0BW0.1 0BW0.0"))
    broken = first_broken(Plan.parse(head + "0: 0F0.1 0F0.0 0BW0.1 0BW0.0"))
    assert (broken.rule, broken.position) == ("order", 0)
    broken = first_broken(Plan.parse(head + "0: 0F0.0 0F0.1 0BW0.0 0BW0.1"))
    assert (broken.rule, broken.position) == ("order", 2)
    assert first_broken(Plan.parse(head + "0: 0F0 0F0.1 0BW0.1 0BW0.0")).rule == "known"


def test_the_limit_of_memory_is_exact():
    for name in ("gpipe", "1f1b", "zb-h1", "zb-h2"):
        plan = make_plan(name, 4, 10)
        peak = max(peak_in_flight(plan))
        check_plan(plan, max_in_flight=peak)
        broken = first_broken(plan, max_in_flight=peak - 1)
        assert broken.rule == "memory" and broken.action.kind == "F"
        before = plan.actions[broken.rank][: broken.position]
        assert sum((a.kind == "F") - (a.kind in ("W", "BW")) for a in before) == peak - 1
    with pytest.raises(UsageError, match="max_in_flight"):
        check_plan(plan, max_in_flight=0)


def _runs(plan: Plan) -> bool:
    """Whether a plan keeps the rules, by the definition: everything once, and running it by rounds comes to an end."""
    wanted = set()
    for stage in range(plan.num_stages):
        for j in range(plan.num_microbatches):
            for part in range(plan.num_slices) if plan.num_slices > 1 else (None,):
                wanted |= {(stage, kind, j, part) for kind in "FBW"}
    stood = [(a.stage, kind, a.microbatch, a.slice) for of_rank in plan.actions for a in of_rank for kind in a.kind]
    if sorted(stood, key=str) != sorted(wanted, key=str):
        return False
    if any(plan.rank_of_stage[a.stage] != rank for rank, of_rank in enumerate(plan.actions) for a in of_rank):
        return False
    done, left = set(), [list(of_rank) for of_rank in plan.actions]
    moved = True
    while moved:
        moved = False
        for queue in left:
            while queue:
                a = queue[0]
                needs = set()
                for kind in a.kind:
                    if kind == "F":
                        needs |= {(a.stage - 1, "F", a.microbatch, a.slice)} if a.stage else set()
                        needs |= {(a.stage, "F", a.microbatch, a.slice - 1)} if a.slice else set()
                    elif kind == "B":
                        needs |= {(a.stage, "F", a.microbatch, a.slice)}
                        needs |= {(a.stage + 1, "B", a.microbatch, a.slice)} if a.stage + 1 < plan.num_stages else set()
                        if a.slice is not None and a.slice + 1 < plan.num_slices:
                            needs |= {(a.stage, "B", a.microbatch, a.slice + 1)}
                    elif a.kind == "W":
                        needs |= {(a.stage, "B", a.microbatch, a.slice)}
                if not needs <= done:
                    break
                done |= {(a.stage, kind, a.microbatch, a.slice) for kind in a.kind}
                queue.pop(0)
                moved = True
    return not any(left)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(SCHEDULES), st.integers(1, 4), st.integers(1, 5), st.integers(0, 10**9), st.integers(1, 3))
def test_mutated_plans_are_caught_exactly_when_they_cannot_run(name, p, m, seed, times):
    rng = random.Random(seed)
    plan = make_plan(name, p, p * m if name == "interleaved" else m)
    actions = [list(of_rank) for of_rank in plan.actions]
    for _ in range(times):
        rank = rng.randrange(p)
        if not actions[rank]:
            continue
        a, b = rng.randrange(len(actions[rank])), rng.randrange(len(actions[rank]))
        change = rng.choice(["swap", "swap", "drop", "duplicate", "move", "other"])
        if change == "swap":
            actions[rank][a], actions[rank][b] = actions[rank][b], actions[rank][a]
        elif change == "drop":
            del actions[rank][a]
        elif change == "duplicate":
            actions[rank].insert(b, actions[rank][a])
        elif change == "move":
            actions[rng.randrange(p)].insert(b, actions[rank].pop(a))
        else:
            old = actions[rank][a]
            kind = rng.choice(["F", "B", "W", "BW"])
            actions[rank][a] = Action(old.stage, kind, rng.randrange(plan.num_microbatches), old.slice)
    changed = Plan(
        plan.name, plan.num_ranks, plan.num_stages, plan.num_microbatches, actions, plan.num_slices, plan.rank_of_stage
    )
    broken = first_broken(changed)
    assert (broken is None) == _runs(changed), (changed.text(), broken)
    if broken is not None:
        here = changed.actions[broken.rank]
        assert broken.position == len(here) or here[broken.position] == broken.action
        with pytest.raises(PlanError) as caught:
            simulate(changed, StageTimes(1.0, 1.0, 1.0))
        assert caught.value.broken == broken
