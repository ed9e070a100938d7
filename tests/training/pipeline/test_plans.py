"""Plans of all schedules: what they hold, their text, and the order that torch has."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.gpipe import gpipe
from labkit.training.pipeline.interleaved import interleaved
from labkit.training.pipeline.one_f_one_b import one_f_one_b
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan, peak_in_flight
from labkit.training.pipeline.schedules import SCHEDULES, make_plan
from labkit.training.pipeline.token_slices import token_slices
from labkit.training.pipeline.zero_bubble import zb_h1, zb_h2

SIZES = [(p, m) for p in range(1, 8) for m in (1, 2, 3, 5, 8, 16)]


def test_every_schedule_keeps_the_rules_and_reads_back():
    for p, m in SIZES:
        plans = [gpipe(p, m), one_f_one_b(p, m), zb_h1(p, m), zb_h2(p, m), token_slices(p, m, 3)]
        plans += [gpipe(p, m, split_backward=True), one_f_one_b(p, m, split_backward=True)]
        plans += [interleaved(p, p * turns, v, split_backward=s) for turns in (1, 3) for v in (1, 2, 3) for s in (0, 1)]
        for plan in plans:
            check_plan(plan)
            assert Plan.parse(plan.text()) == plan
            per_stage = plan.num_microbatches * plan.num_slices
            has_w = any(action.kind == "W" for of_rank in plan.actions for action in of_rank)
            assert plan.num_actions == plan.num_stages * per_stage * (3 if has_w else 2)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SCHEDULES), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4))
def test_any_sizes_give_a_plan_that_keeps_the_rules(name, p, m, v):
    plan = make_plan(name, p, m * p if name == "interleaved" else m, num_chunks=v, num_slices=v)
    check_plan(plan)
    assert Plan.parse(str(plan)) == plan


def test_activations_held():
    for p, m in SIZES:
        assert peak_in_flight(gpipe(p, m)) == (m,) * p
        assert peak_in_flight(one_f_one_b(p, m)) == tuple(min(m, p - i) for i in range(p))
        assert peak_in_flight(zb_h1(p, m)) == (min(m, p),) * p
        assert peak_in_flight(zb_h2(p, m)) == (min(m, 2 * p - 1),) * p


def test_orders_are_those_of_torch():
    schedules = pytest.importorskip("torch.distributed.pipelining.schedules")

    def torch_order(p, m, v):
        actions = []
        for rank in range(p):
            turn = m // max(1, m // p)
            one = object.__new__(schedules.ScheduleInterleaved1F1B)
            one.pp_group_size, one.n_local_stages, one._n_microbatches, one.microbatches_per_round = p, v, m, turn
            found = [action for action in one._calculate_single_rank_operations(rank) if action is not None]
            kinds = {"FORWARD": "F", "FULL_BACKWARD": "BW"}
            actions.append(
                tuple(Action(a.stage_index, kinds[a.computation_type.name], a.microbatch_index) for a in found)
            )
        return tuple(actions)

    for p, m, v in [(2, 2, 2), (2, 4, 2), (3, 6, 3), (4, 4, 2), (4, 8, 2), (4, 16, 4), (5, 5, 3), (8, 24, 3)]:
        assert interleaved(p, m, v).actions == torch_order(p, m, v), (p, m, v)


def test_gpipe_and_1f1b_by_hand():
    lines = gpipe(3, 2).text().splitlines()[1:]
    assert lines == [f"{i}: {i}F0 {i}F1 {i}BW1 {i}BW0" for i in range(3)]
    assert one_f_one_b(3, 4).text().splitlines()[1:] == [
        "0: 0F0 0F1 0F2 0BW0 0F3 0BW1 0BW2 0BW3",
        "1: 1F0 1F1 1BW0 1F2 1BW1 1F3 1BW2 1BW3",
        "2: 2F0 2BW0 2F1 2BW1 2F2 2BW2 2F3 2BW3",
    ]


@pytest.mark.parametrize(("p", "m"), [(4, 6), (4, 2), (3, 10)])
def test_interleaved_refuses_with_the_numbers(p, m):
    with pytest.raises(UsageError) as caught:
        interleaved(p, m, 2)
    assert {p, m} <= set(map(int, re.findall(r"\d+", str(caught.value))))
    taken = [int(word) for word in re.findall(r"\d+", str(caught.value).split("take ")[1].split(",")[0])]
    for other in taken:
        check_plan(interleaved(p, other, 2))


def test_numbers_out_of_range_are_refused():
    for wrong in (0, -1, 1.5, "4", True, None):
        for call in (gpipe, one_f_one_b, zb_h1, zb_h2, interleaved):
            with pytest.raises(UsageError, match="whole number"):
                call(wrong, 4)
            with pytest.raises(UsageError, match="whole number"):
                call(4, wrong)
    with pytest.raises(UsageError, match="at most"):
        gpipe(1000, 10_000)
    with pytest.raises(UsageError, match="one of gpipe"):
        make_plan("pipedream", 2, 2)
    with pytest.raises(UsageError, match="3 stages for 4 ranks"):
        Plan("mine", 4, 3, 1, ((),) * 4)


@pytest.mark.parametrize(
    "text", ["", "F", "2F", "F3", "2X3", "2f3", "-1F2", "2F3.", "2F3.1.1", " 2F3", "2WB3", "2FB3", "٢F3"]
)
def test_no_action(text):
    with pytest.raises(UsageError, match="an action is written"):
        Action.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with a line"),
        ("0: 0F0", "begins with a line"),
        ("a: ranks 1, stages 1, micro-batches 1", "a line a rank"),
        ("a: ranks 1, stages 1, micro-batches 1\n0: 0F0\n1: 0F0", "a line a rank"),
        ("a: ranks 1, stages 1, micro-batches 1\n1: 0F0", "line 2"),
        ("a: ranks 1, stages 1, micro-batches 1\n\n# words\n0: 0F0 0Q0", "line 4.*0Q0"),
        ("a: ranks 2, stages 1, micro-batches 1\n0: 0F0\n1:", "stages for 2 ranks"),
        ("a: ranks 2, stages 2, micro-batches 1, placement 0 0\n0: 0F0\n1:", "rank_of_stage"),
    ],
)
def test_texts_that_are_no_plans(text, says):
    with pytest.raises(UsageError, match=says):
        Plan.parse(text)


def test_a_placement_of_stages_reads_back():
    text = "v: ranks 2, stages 4, micro-batches 1, placement 0 1 1 0\n0: 0F0 3F0 3BW0 0BW0\n1: 1F0 2F0 2BW0 1BW0"
    plan = Plan.parse(text)
    assert plan.text() == text and plan.stages_of(0) == (0, 3)
    check_plan(plan)
