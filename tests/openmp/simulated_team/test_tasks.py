"""Tasks: what orders them, what does not, and how long the longest chain is."""

import itertools
import random

import numpy as np
import pytest

from labkit.openmp.simulated_team.constructs import task, task_depend, taskwait, thread_num
from labkit.openmp.simulated_team.team import SimulatedTeam


def fibonacci(team, n, result, waits):
    if n < 2:
        result[0] = n
        return
    parts = np.zeros(2, np.int64)
    task(team, fibonacci, (team, n - 1, parts[:1], waits))
    task(team, fibonacci, (team, n - 2, parts[1:], waits))
    if waits:
        taskwait()
    result[0] = parts[0] + parts[1]


@pytest.mark.parametrize("p", [1, 2, 5, 64])
def test_recursive_tasks_with_and_without_waiting(p):
    for seed in range(3):
        result = np.zeros(1, np.int64)
        report = SimulatedTeam(p, seed=seed).tasks(fibonacci, 9, result, True)
        assert report.is_clean and result[0] == 34 and report.num_tasks == 108
        report = SimulatedTeam(p, seed=seed).tasks(fibonacci, 9, result, False)
        assert report.races and "a task of fibonacci" in str(report)




def test_tasks_run_on_all_threads_and_each_once():
    seen, log = [], []

    def note(x, k):
        x[k] += 1
        seen.append(thread_num())
        log.append(k)

    def root(team, x):
        for k in range(40):
            task(team, note, (x, k))

    x = np.zeros(40)
    report = SimulatedTeam(4, seed=3).tasks(root, x)
    assert report.is_clean and (x == 1).all() and sorted(log) == list(range(40)) and set(seen) == {0, 1, 2, 3}
    assert log != sorted(log) and report.num_path_accesses == 2


def conflicts(program):
    """By the standard: pairs of tasks with a common element that one of them writes, and what follows from them."""
    before = []
    for later, (out, in_) in enumerate(program):
        mine = set()
        for earlier, (its_out, its_in) in enumerate(program[:later]):
            if set(out) & {*its_out, *its_in} or set(in_) & set(its_out):
                mine |= before[earlier] | {earlier}
        before.append(mine)
    return before


def run_program(program, dependences, seed, num_threads=3):
    order = []

    def work(x, number, out, in_):
        for k in in_:
            x[k]
        for k in out:
            x[k] += 1
        order.append(number)

    def root(team, x, tokens):
        for number, ((out, in_), (named_out, named_in)) in enumerate(zip(program, dependences, strict=True)):
            task_depend(team, work, (x, number, out, in_), tokens, named_out, named_in)

    report = SimulatedTeam(num_threads, seed=seed).tasks(root, np.zeros(4), np.zeros(4, np.int8))
    return report, order


def random_program(rng):
    program = []
    for _ in range(rng.randint(2, 7)):
        kinds = rng.choices(["out", "in", "no"], [2, 3, 4], k=4)
        program.append(tuple(tuple(k for k in range(4) if kinds[k] == kind) for kind in ("out", "in")))
    return program


def test_dependences_order_exactly_what_the_standard_says():
    rng = random.Random(5)
    for number in range(80):
        program = random_program(rng)
        before = conflicts(program)
        report, order = run_program(program, program, seed=number)
        assert report.is_clean and report.num_ordered_pairs == sum(map(len, before)), program
        places = {task: place for place, task in enumerate(order)}
        assert all(places[a] < places[b] for b in range(len(program)) for a in before[b])


def test_a_dependence_that_is_missing_is_a_race_on_every_run():
    program = [((0,), ()), ((1,), (0,)), ((2,), (0,)), ((3,), (1, 2))]  # a diamond
    assert run_program(program, program, 1)[0].num_ordered_pairs == 5
    for task_number, side in itertools.product(range(1, 4), (0, 1)):
        for missing in program[task_number][side]:
            if side == 0:
                continue  # nobody else needs what the last ones write, or it is named by those that read
            named = [list(pair) for pair in program]
            named[task_number][1] = tuple(k for k in program[task_number][1] if k != missing)
            for seed in range(5):
                assert run_program(program, named, seed)[0].races, (task_number, missing)


def test_one_thread_runs_tasks_in_other_orders_too():
    orders = {tuple(run_program([((k,), ()) for k in range(4)], [((), ())] * 4, seed, 1)[1]) for seed in range(30)}
    assert len(orders) > 5


def test_the_longest_chain_of_a_graph():
    def work(x, k, amount):
        for _ in range(amount):
            x[k]

    def root(team, x, tokens):
        for k, amount in ((0, 5), (1, 20), (2, 7)):
            task_depend(team, work, (x, k, amount), tokens, (k,), ())
        task_depend(team, work, (x, 3, 4), tokens, (3,), (0, 2))  # 4 after 5 and 7

    report = SimulatedTeam(4).tasks(root, np.zeros(4), np.zeros(4, np.int8))
    assert report.num_path_accesses == 20 and sum(report.num_accesses) == 36 and report.num_ordered_pairs == 2


def test_waiting_is_for_children_only_and_orders_them():
    def child(x, k):
        x[k] = 1.0

    def parent(team, x, k):
        task(team, child, (x, 2 * k))
        task(team, child, (x, 2 * k + 1))
        taskwait()
        x[2 * k] += x[2 * k + 1]

    def root(team, x, wait):
        for k in range(3):
            task(team, parent, (team, x, k))
        if wait:
            taskwait()
        x[0] += 1.0

    for seed in range(8):
        x = np.zeros(6)
        assert SimulatedTeam(2, seed=seed).tasks(root, x, True).is_clean and x.tolist() == [3, 1, 2, 1, 2, 1]
        assert SimulatedTeam(2, seed=seed).tasks(root, np.zeros(6), False).races
