"""The questions, cards and summaries of the lessons: complete, and what they claim is so."""

import math
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from labkit.comm.network.model import alpha_beta
from labkit.comm.reduction import compute_for
from labkit.comm.simulated.run import simulate
from labkit.errors import CollectiveMismatchError, DeadlockError, UsageError
from labkit.floating_point.accidents import patriot
from labkit.floating_point.order import sum_over_ranks
from labkit.floating_point.summation.bounds import gamma
from labkit.floating_point.summation.registry import find_sum
from labkit.floating_point.summation.reproducible import allreduce_sum_exact
from labkit.grading.cards import load_flashcards
from labkit.grading.course import LESSONS, find_lesson, load_summary
from labkit.grading.quiz_file import load_quiz
from labkit.hardware.roofline import Roofline
from labkit.mpi.collectives.registry import find
from labkit.mpi.cost import COSTS
from labkit.mpi.point_to_point.deadlocks import ring_shift_odd_even, ring_shift_sendrecv, ring_shift_unsafe
from labkit.mpi.point_to_point.decomposition import block_range, process_grid
from labkit.openmp.scaling import amdahl
from labkit.openmp.schedule import chunks
from labkit.openmp.simulate import simulate_schedule
from labkit.openmp.simulated_team.constructs import barrier, static_block, thread_num
from labkit.openmp.simulated_team.team import SimulatedTeam
from labkit.serving.cost.serverless_cost import serverless_cost
from labkit.softmax.ladder import find_version, softmax
from labkit.softmax.online import merge
from labkit.softmax.options import masked_softmax
from labkit.softmax.vocabulary_parallel import NUM_ALLREDUCES, columns_of
from labkit.training.checkpoint import load_checkpoint, save_checkpoint
from labkit.training.learning_rate import learning_rate_at
from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.consistency import Consistency
from labkit.training.pipeline.memory import memory_over_time
from labkit.training.pipeline.schedules import make_plan
from labkit.training.pipeline.simulate import StageTimes
from labkit.training.pipeline.simulate import simulate as simulate_plan
from labkit.training.planner.published import training_days
from labkit.training.scale.zero_table import zero_memory
from labkit.training.spot import expected_time, young_interval
from labkit.training.tensor_parallel.shards import head_ends
from labkit.training.tensor_parallel.traffic import kept_bytes

WRITTEN = [lesson.name for lesson in LESSONS if lesson.exists]


@pytest.mark.parametrize("lesson", WRITTEN)
def test_a_lesson_has_what_it_should(lesson):
    quiz = load_quiz(lesson)
    assert 5 <= len(quiz.questions) <= 10
    assert {question.kind for question in quiz.questions} == {"choice", "number", "order"}
    places = [question.choices.index(question.right) for question in quiz.questions if question.kind == "choice"]
    assert max(places.count(place) for place in places) <= max(1, len(places) // 2)
    assert all(len(question.wrong) >= 3 for question in quiz.questions if question.kind == "choice")
    assert len(load_flashcards(lesson)) >= 8
    lengths = [len(text) for text in load_summary(lesson).values()]
    assert lengths == sorted(lengths) and lengths[0] < 700


def test_the_lessons_with_notebooks_are_those_that_have_questions():
    notebooks = Path(__file__).parents[2] / "notebooks"
    assert {path.stem for path in notebooks.glob("*.ipynb")} == set(WRITTEN)
    assert [int(lesson.number) for lesson in LESSONS] == list(range(13))
    assert find_lesson("05_collectives").topic == "collectives"


def cost(name, *arguments):
    return COSTS[name](*arguments)


def roofline():
    return Roofline(100e9, 200e9, (("DRAM", 48e9),)).attainable(2 / 24) / 1e9


def one_message():
    return alpha_beta(2e-6, 1 / 10e9).cost.message_s(1_000_000) * 1e6


def pack():
    def program(comm, count, num_bytes):
        for _ in range(count):
            if comm.rank == 0:
                comm.Send(np.zeros(num_bytes, np.uint8), 1)
            else:
                comm.Recv(np.empty(num_bytes, np.uint8), 0)

    return simulated(2, program, 100, 80).time_s / simulated(2, program, 1, 8000).time_s


def simulated(num_ranks, program, *arguments, **options):
    options = {"network": alpha_beta(1e-6, 1e-9)} | options
    return simulate(num_ranks, lambda comm: program(comm, *arguments), **options)


def largest_that_passes():
    def passes(count):
        try:
            simulated(
                4, lambda comm: ring_shift_unsafe(comm, np.zeros(count), np.empty(count)),
                network=alpha_beta(1e-6, 1e-9, eager_limit_bytes=65536),
            )
        except DeadlockError:
            return False
        return True

    good, bad = 1, 100_000
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if passes(middle) else (good, middle)
    return good


def halo_numbers():
    rows, columns = process_grid(64, (1024, 1024))
    edges = [end - start for parts in (rows, columns) for start, end in [block_range(1024, parts, parts // 2)]]
    return 2 * sum(edges)


def doubling_time():
    allreduce = find("allreduce_recursive_doubling").function
    return simulated(16, lambda comm: allreduce(comm, np.ones(125), np.empty(125))).time_s * 1e6


def least_distance():
    """Of counters of type int32 of which no two are in a line."""

    def count(team, counters, distance):
        counters[distance * thread_num()] += 1

    return next(d for d in range(1, 100) if not SimulatedTeam(4).parallel(count, np.zeros(400, np.int32), d).shared_lines)


def price_of_chunks():
    times = [simulate_schedule(s, np.full(10_000, 10e-9), 4, chunk_s=50e-9).duration_s for s in ("dynamic,1", "static")]
    return times[0] / times[1]


def merged_sum():
    """Of a row of three logits 2 and one logit 5, by its definition."""
    return sum(math.exp(x - 5) for x in (2, 2, 2, 5))


def safe_softmax_ms():
    version = find_version("shifted")
    return (version.num_reads + version.num_writes) * np.dtype(np.float32).itemsize * 10**6 / 10e9 * 1e3


def logits_for_each_number():
    mine = columns_of(131072, 8, 3)
    return (mine.stop - mine.start) / NUM_ALLREDUCES


def first_missing_whole_number():
    """The smallest whole number after which float32 leaves one out, among the powers of two and their neighbours."""
    near = sorted({2**k + d for k in range(31) for d in (-1, 0, 1)} - {0})
    return next(number for number in near if int(np.float32(number + 1)) != number + 1)


def scale_that_keeps():
    return next(2.0**k for k in range(20) if np.float16(2.0 ** (k - 27)) > 0)


def hub_gigabytes():
    """From the elements that a server of 20 workers sends and receives, scaled to 100 MB of weights."""
    from labkit.training.parameter_server.shard_server import ShardServer

    size, moved = 10, 0
    server = ShardServer(range(20), "bsp", lambda gradient, clock, staleness: None)
    for worker in range(20):
        moved += size * len(server.pull(worker))
    for worker in range(20):
        server.push(worker, 0, np.ones(size), 1 / 20)
        moved += size
    return moved / size * 0.1


def clock_at_the_bound():
    rule, clock = Consistency.parse("ssp,4"), 10
    while rule.allows(clock, 10):
        clock += 1
    return clock


def momentum_left():
    """By the steps for which a gradient acts: those of one worker, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 4 / (1 - middle) < 1 / (1 - 0.9) else (low, middle)
    return low


def hours_to_the_first_failure():
    """The mean of the smallest of 1000 exponential times: the integral of the probability that all live, in h."""
    at = np.linspace(0, 2400, 1_000_001)
    return np.trapezoid(np.exp(-at / 24_000) ** 1000, at)


def best_minutes():
    """Where the time for writing and for work that is lost, a second of work, is least."""
    interval = np.arange(1.0, 20_000.0)
    overhead = 60 / interval + interval / 2 / (5000 * 3600 / 100)
    return interval[overhead.argmin()] / 60


def steps_done_twice():
    """By real checkpoints, the newest of which loses half of a shard."""
    with tempfile.TemporaryDirectory() as folder:
        for step in range(50, 128, 50):
            path = save_checkpoint(folder, step, {"w": np.arange(100.0) + step}, keep=2)
        (shard,) = path.glob("*.bin")
        shard.write_bytes(shard.read_bytes()[:400])
        return 128 - load_checkpoint(folder).step


def slowest_of_the_best_cuts():
    """All pairs of cuts, tried."""
    layers = [2, 4, 1, 3, 3, 5]
    return min(
        max(sum(layers[:i]), sum(layers[i:j]), sum(layers[j:])) for i in range(1, 5) for j in range(i + 1, 6)
    )


def pipeline(name, num_ranks, num_microbatches):
    """A plan with a forward of 1 s, and as long for B and for W."""
    return simulate_plan(make_plan(name, num_ranks, num_microbatches), StageTimes(1.0, 1.0, 1.0))


def simulated_ring_bytes(num_ranks, num_elements):
    """Bytes that each rank sends in a ring all-reduce of float32, counted."""
    allreduce = find("allreduce_ring").function
    counts = simulate(
        num_ranks, lambda comm: allreduce(comm, np.ones(num_elements, np.float32), np.empty(num_elements, np.float32))
    ).counts
    return [counts.num_bytes / num_ranks] * num_ranks


def bubble_percent(num_stages, num_microbatches):
    """Forward through all stages in turn, one unit each: the last stage ends so much later than its own work takes."""
    free = [0] * num_stages
    for _ in range(num_microbatches):
        arrived = 0
        for stage in range(num_stages):
            arrived = free[stage] = max(arrived, free[stage]) + 1
    return 100 * (free[-1] / num_microbatches - 1)


def sent_by_a_block():
    """Two ring all-reduces of 2048 x 4096 values of 16 bits, counted by the simulator at a thousandth of the size."""

    def program(comm):
        for _ in range(2):
            find("allreduce_ring").function(comm, np.zeros(2048 * 4096 // 1024, np.int16), np.empty(2048 * 4096 // 1024, np.int16))

    return simulate(8, program).counts.max_bytes_sent * 1024 / 1e6


def heads_fit(num_heads, num_ranks):
    try:
        return bool(head_ends(num_heads * 8, num_heads, num_ranks))
    except UsageError:
        return False


def cold_percent():
    """Of gaps between a million arrivals, those that are longer than the keep-alive."""
    arrivals = np.sort(np.random.default_rng(12).uniform(0, 1e7, 10**6))  # min
    return 100 * np.mean(np.diff(arrivals) > 15)


def waited_for_a_second():
    """Requests of a plan, answered one after the other in 1 ms each after a pause."""
    free, count = 10.0, 0
    for due in np.arange(1000) / 10:
        free = max(free, due) + 0.001
        count += free - due > 1
    return count


def pages_with_a_cold_start():
    """Percent, by the number of warm requests that a page has had so far."""
    still_warm = 1.0
    for _ in range(40):
        still_warm -= 0.03 * still_warm
    return 100 * (1 - still_warm)


BIG = 64 * 10**4
ORACLES = {
    ("00_start_here", "roofline"): roofline,
    ("01_floating_point", "every-whole-number"): first_missing_whole_number,
    ("01_floating_point", "patriot-20"): lambda: float(patriot([20])[0].lost_s),
    ("01_floating_point", "log-of-a-million"): lambda: gamma(2**20 - 1, 2.0**-80) / gamma(20, 2.0**-80),
    ("01_floating_point", "smallest-scale"): scale_that_keeps,
    ("02_softmax", "two-logits"): lambda: masked_softmax(np.array([[1.0, 3.0]]), temperature=2, version="shifted")[0, 1],
    ("02_softmax", "merge-two"): merged_sum,
    ("02_softmax", "four-accesses"): safe_softmax_ms,
    ("02_softmax", "logits-for-each-number"): logits_for_each_number,
    ("03_threads", "triangle-static"): lambda: simulate_schedule("static", np.arange(1.0, 101.0), 4).load_imbalance,
    ("03_threads", "price-of-chunks"): price_of_chunks,
    ("03_threads", "guided-count"): lambda: len(chunks("guided", 20, 2)),
    ("03_threads", "five-percent"): lambda: amdahl(16, 0.05),
    ("03_threads", "a-line-each"): least_distance,
    ("04_point_to_point", "one-message"): one_message,
    ("04_point_to_point", "pack"): pack,
    ("04_point_to_point", "eager-count"): largest_that_passes,
    ("04_point_to_point", "halo-64"): halo_numbers,
    ("05_collectives", "dissemination-100"): lambda: cost("barrier_dissemination", 100, 0).num_rounds,
    ("05_collectives", "ring-bytes"): lambda: cost("allreduce_ring", 64, 8 * 10**6).path_bytes / 1e6,
    ("05_collectives", "doubling-time"): doubling_time,
    ("05_collectives", "six-ranks"): lambda: cost("allreduce_recursive_doubling", 6, 100).num_rounds,
    ("05_collectives", "broadcast-ratio"): lambda: (
        cost("broadcast_binomial", 64, BIG).path_bytes / cost("broadcast_scatter_allgather", 64, BIG).path_bytes
    ),
    ("07_parameter_server", "hub-gigabytes"): hub_gigabytes,
    ("07_parameter_server", "at-the-bound"): clock_at_the_bound,
    ("07_parameter_server", "momentum-for-four"): momentum_left,
    ("09_tensor_parallel", "forward-megabytes"): sent_by_a_block,
    ("09_tensor_parallel", "numbers-of-ranks"): lambda: sum(heads_fit(96, p) for p in range(1, 9)),
    ("09_tensor_parallel", "kept-by-eight"): lambda: (
        kept_bytes(8, 4096, 2048, 1, 0) / kept_bytes(8, 4096, 2048, 1, 0, "tensor and sequence")
    ),
    ("11_fault_tolerance", "hours-between-failures"): hours_to_the_first_failure,
    ("11_fault_tolerance", "young-minutes"): best_minutes,
    ("11_fault_tolerance", "steps-again"): steps_done_twice,
    ("12_serving", "a-month-of-lambda"): lambda: float(serverless_cost(2_000_000, 0.25, 2048).total),
    ("12_serving", "cold-after-a-pause"): cold_percent,
    ("12_serving", "waited-for-a-second"): waited_for_a_second,
    ("12_serving", "forty-requests"): pages_with_a_cold_start,
    ("06_data_parallel", "weighted-mean"): lambda: np.mean([2, 2, 2, 6]),
    ("06_data_parallel", "ring-megabytes"): lambda: sum(simulated_ring_bytes(8, 25 * 10**3)) / 8 / 1e3,
    ("06_data_parallel", "rate-in-warm-up"): lambda: learning_rate_at(
        10, TrainingOptions(learning_rate=0.1, batch_size=2048, base_batch_size=256, warmup_steps=20)
    ),
    ("06_data_parallel", "zero-two"): lambda: zero_memory(7.5e9, 64, 2).total_bytes / 1e9,
    ("10_hybrid_parallel", "rank-of-place"): lambda: np.arange(128).reshape(4, 4, 8)[2, 1, 5],
    ("10_hybrid_parallel", "states-gigabytes"): lambda: zero_memory(7.5e9 / 8, 4, 1).total_bytes / 1e9,
    ("10_hybrid_parallel", "bubble-percent"): lambda: bubble_percent(4, 12),
    ("10_hybrid_parallel", "training-days"): lambda: training_days(300e9, 175e9, 1024, 140e12),
    ("08_model_parallel", "gpus-to-hold"): lambda: zero_memory(20e9, 1, 0).total_bytes / 80e9,
    ("08_model_parallel", "best-of-three"): slowest_of_the_best_cuts,
    ("08_model_parallel", "idle-percent"): lambda: 100 * pipeline("gpipe", 4, 12).bubble_fraction,
    ("08_model_parallel", "held-by-rank-one"): lambda: memory_over_time(pipeline("1f1b", 8, 32))[1].peak,
}


def test_every_number_is_calculated_here_by_other_means():
    questions = {(lesson, q.name): q for lesson in WRITTEN for q in load_quiz(lesson).questions if q.kind == "number"}
    assert set(questions) == set(ORACLES)
    for key, question in questions.items():
        assert question.agrees(question.answer, ORACLES[key]()), (key, ORACLES[key]())


def test_numbers_in_the_explanations_are_so():
    assert cost("allreduce_ring", 64, 8 * 10**6).num_rounds == 126
    assert cost("allreduce_recursive_doubling", 64, 8 * 10**6).path_bytes == 384e6
    assert [cost(f"barrier_{name}", 100, 0).num_rounds for name in ("central", "tree", "dissemination")] == [198, 14, 7]
    assert cost("allreduce_recursive_doubling", 8, 1).num_rounds == 3


# -- what the choices claim -------------------------------------------------------------------------


def test_what_softmax_makes_of_odd_rows():
    hundreds = np.full((1, 3), 100.0, np.float32)
    assert np.isnan(softmax(hundreds, version="naive")).all()
    np.testing.assert_allclose(softmax(hundreds.astype(np.float64), version="naive"), 1 / 3)
    far = np.array([[0.0, -2000.0]], np.float32)
    with np.errstate(divide="ignore"):
        assert np.log(softmax(far, version="shifted"))[0, 1] == -np.inf
    assert softmax(far, version="log")[0, 1] == -2000
    nothing = np.full((1, 3), -np.inf)
    assert np.isnan(softmax(nothing, version="shifted")).all()
    assert not masked_softmax(nothing, empty_rows="zeros", version="shifted").any()
    np.testing.assert_allclose(softmax(far + 5, version="shifted"), softmax(far, version="shifted"))
    assert merge((2.0, 3.0), (5.0, 1.0)) == (5.0, pytest.approx(1.149, abs=5e-4))


def test_a_higher_temperature_makes_less_sure_and_decides_alike():
    logits = 4 * np.random.default_rng(1).standard_normal((50, 10))
    plain, hot = (masked_softmax(logits, temperature=t, version="shifted") for t in (1.0, 3.0))
    assert (hot.max(axis=1) < plain.max(axis=1)).all() and (hot.argmax(axis=1) == plain.argmax(axis=1)).all()


def test_lost_updates_leave_anything_from_two_to_all():
    """All interleavings of two threads that add 1 three times each, by their states."""
    steps, seen = 3, set()
    waiting = [(0, (0, None), (0, None))]  # x, and of each thread: additions done, what it has read
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        x, *threads = state
        for me, (done, has_read) in enumerate(threads):
            if done == steps:
                continue
            after = list(threads)
            after[me] = (done, x) if has_read is None else (done + 1, None)
            waiting.append((x if has_read is None else has_read + 1, *after))
    ends = {x for x, (one, _), (other, _) in seen if one == other == steps}
    assert ends == set(range(2, 2 * steps + 1))


def test_tenths_are_no_binary_numbers_and_their_roundings_do_not_agree():
    a, b, c = map(Fraction, (0.1, 0.2, 0.3))
    assert Fraction(1, 10) != a and Fraction(2, 10) != b and Fraction(3, 10) != c
    above = Fraction(math.nextafter(0.3, 1))
    assert a + b == (c + above) / 2 and Fraction(0.1 + 0.2) == above  # halfway, and up


def test_a_loop_over_ones_stands_still_and_numpy_does_not():
    ones = np.ones(2**25, np.float32)
    assert find_sum("recursive").function(ones) == 2**24 and ones.sum() == 2**25


def test_who_finds_two():
    names = ("recursive", "kahan", "neumaier", "exact")
    found = {name: find_sum(name).function([1.0, 1e100, 1.0, -1e100]) for name in names}
    assert found == {"recursive": 0, "kahan": 0, "neumaier": 2, "exact": 2}
    assert (1 + 1e100) + (1 - 1e100) == 0


def test_which_sums_do_not_mind_the_number_of_ranks():
    x = np.random.default_rng(3).standard_normal(1000) * 10.0 ** np.random.default_rng(4).integers(0, 9, 1000)

    def results(local, num_ranks):
        return {sum_over_ranks(x, p, local=local) for p in num_ranks}

    def exactly(comm):
        return allreduce_sum_exact(comm, np.array_split(x, comm.size)[comm.rank])

    assert len(results("kahan", (1, 4, 7, 12))) > 1
    assert {value for p in (1, 4, 7) for value in simulated(p, exactly).results} == {find_sum("exact").function(x)}


def test_a_barrier_that_one_of_four_passes_by():
    def body(team, n):
        start, stop = static_block(n)
        if start < stop:
            barrier(team)

    verdict = SimulatedTeam(4).parallel(body, 3).deadlock
    assert verdict.count("waits at a barrier") == 3 and "thread 3 has left" in verdict
    assert SimulatedTeam(4).parallel(body, 4).is_clean


def test_the_late_rank_delays_its_right_neighbour_only():
    def program(comm, barrier):
        compute_for(comm, 50e-3 if comm.rank == 2 else 1e-3)
        comm.send(comm.rank, (comm.rank + 1) % comm.size)
        comm.recv(source=(comm.rank - 1) % comm.size)
        if barrier:
            comm.Barrier()

    late = [time > 10e-3 for time in simulated(5, program, False).times_s]
    assert late == [False, False, True, True, False]  # 2 itself computes, 3 waits
    assert all(time > 50e-3 for time in simulated(5, program, True).times_s)


def test_a_ring_in_which_one_sends_first_ends_with_any_size():
    def program(comm):
        right, left, mine, theirs = (comm.rank + 1) % 3, (comm.rank - 1) % 3, np.ones(1000), np.empty(1000)
        if comm.rank == 0:
            comm.Send(mine, dest=right)
            comm.Recv(theirs, source=left)
        else:
            comm.Recv(theirs, source=left)
            comm.Send(mine, dest=right)
        return theirs[0]

    run = simulated(3, program, check_unsafe_sends=True)
    assert run.results == [1, 1, 1] and run.times_s[1] < run.times_s[2] <= run.times_s[0] and run.counts.num_rounds == 3


def test_a_barrier_cures_nothing_and_the_others_do():
    def irecv_first(comm, mine, theirs):
        request = comm.Irecv(theirs, (comm.rank - 1) % comm.size)
        comm.Send(mine, (comm.rank + 1) % comm.size)
        request.Wait()

    def barrier_first(comm, mine, theirs):
        comm.Barrier()
        ring_shift_unsafe(comm, mine, theirs)

    def shift(comm, how):
        theirs = np.empty(10)
        how(comm, np.full(10, float(comm.rank)), theirs)
        return theirs[0]

    for p in (4, 5):
        for cure in (ring_shift_odd_even, ring_shift_sendrecv, irecv_first):
            assert simulated(p, shift, cure, check_unsafe_sends=True).results == [(r - 1) % p for r in range(p)]
        with pytest.raises(DeadlockError):
            simulated(p, shift, barrier_first, check_unsafe_sends=True)
    message_s = 1e-6 + 80e-9
    for p, steps in ((4, 2), (5, 3)):
        run = simulated(p, shift, ring_shift_odd_even, check_unsafe_sends=True)
        assert run.time_s == pytest.approx(steps * message_s), p


def test_which_all_reduce_is_fastest_for_a_number_and_whose_time_doubles():
    names = ("recursive_doubling", "ring", "rabenseifner", "reduce_broadcast")
    alpha, beta = 1.2e-6, 1 / 24e9
    small = {name: cost(f"allreduce_{name}", 1024, 1).time_s(alpha, beta) for name in names}
    assert min(small, key=small.get) == "recursive_doubling"
    large = {
        name: [cost(f"allreduce_{name}", p, 2**17).time_s(alpha, beta) for p in (512, 1024)] for name in names
    }
    growth = {name: after / before for name, (before, after) in large.items()}
    assert growth["ring"] > 1.9 and all(growth[name] < 1.15 for name in names if name != "ring")
    rounds = [cost(f"allreduce_{name}", p, 2**17).num_rounds for name in names[1:3] for p in (512, 1024)]
    assert rounds == [1022, 2046, 18, 20]
    assert cost("allreduce_ring", 1024, 2**17).path_bytes * beta == pytest.approx(87e-6, rel=0.01)


def test_collectives_in_another_order_are_an_error():
    def program(comm):
        x = np.zeros(1)
        calls = [lambda: comm.Bcast(x, root=0), comm.Barrier]
        for call in calls if comm.rank == 0 else calls[::-1]:
            call()

    with pytest.raises(CollectiveMismatchError):
        simulated(4, program)


def test_bits_are_equal_on_all_ranks_and_differ_between_algorithms():
    rng = np.random.default_rng(1)
    numbers = (rng.standard_normal((7, 50)) * 10.0 ** rng.integers(-8, 8, (7, 50))).astype(np.float32)

    def program(comm, name):
        total = np.empty(50, np.float32)
        find(name).function(comm, numbers[comm.rank].copy(), total)
        return total.tobytes()

    names = ("allreduce_ring", "allreduce_recursive_doubling")
    ring, doubling = (set(simulated(7, program, name).results) for name in names)
    assert len(ring) == len(doubling) == 1 and ring != doubling


def test_a_bound_saves_almost_nothing_from_a_worker_that_is_slow_for_good():
    """By the recurrence: a worker begins step c when it and the slowest are ready for it."""

    def total_s(bound, num_steps=1000, seconds=(3.0, 1.0, 1.0, 1.0)):
        done = np.zeros((num_steps + 1, len(seconds)))
        for step in range(num_steps):
            allowed = done[step - bound].max() if step >= bound else 0.0
            done[step + 1] = np.maximum(done[step], allowed) + seconds
        return done[-1].min()

    assert total_s(0) == pytest.approx(3000, abs=3) and total_s(5) > 0.99 * total_s(0) and total_s(1000) == 1000


def test_what_a_checkpoint_without_momentum_changes():
    """Heavy ball on a parabola, broken off after 5 steps: the first loss is the same, the second is not."""

    def losses(w, v, num_steps):
        found = []
        for _ in range(num_steps):
            found.append(w * w / 2)
            v = 0.9 * v + w
            w -= 0.1 * v
        return found, w, v

    whole, _, _ = losses(1.0, 0.0, 10)
    first, w, v = losses(1.0, 0.0, 5)
    assert first + losses(w, v, 5)[0] == whole
    weights_only = losses(w, 0.0, 5)[0]
    assert weights_only[0] == whole[5] and weights_only[1] != pytest.approx(whole[6], rel=0.1)


def test_twice_the_best_interval_costs_a_quarter_more():
    work, write, mtbf = 1e7, 1.0, 1e7
    best = young_interval(write, mtbf)
    overhead, with_twice = (expected_time(work, t, write, 0.0, mtbf) / work - 1 for t in (best, 2 * best))
    assert with_twice / overhead == pytest.approx(1.25, rel=1e-3)
    of_the_quiz = young_interval(60, 180_000)
    assert 60 / of_the_quiz == pytest.approx(of_the_quiz / 2 / 180_000) == pytest.approx(0.013, abs=2e-4)


def test_what_the_orders_of_pipelines_change_and_what_not():
    gpipe, turns = pipeline("gpipe", 4, 12), pipeline("1f1b", 4, 12)
    assert gpipe.step_s == turns.step_s == 3 * (12 + 4 - 1)
    held = [max(line.peak for line in memory_over_time(found)) for found in (gpipe, turns)]
    assert held == [12, 4]

    def backwards(run):
        return [action.microbatch for action in run.plan.actions[1] if action.is_backward]

    assert backwards(gpipe) == list(range(12))[::-1] and backwards(turns) == list(range(12))
    without_w = pipeline("zb-h1", 4, 12)
    assert without_w.cost_s < turns.cost_s and max(line.peak for line in memory_over_time(without_w)) == 4


def test_twice_the_memory_and_half_the_time_cost_the_same():
    slow, fast = (serverless_cost(10**8, duration_s, memory_mb) for duration_s, memory_mb in ((0.2, 1024), (0.1, 2048)))
    assert slow.total == fast.total > 0
    half, one = (serverless_cost(10**9, t, memory_mb).gb_s for t, memory_mb in ((0.0005, 2048), (0.001, 1024)))
    assert half == 2 * one  # a millisecond that has begun is billed


def test_a_queue_without_an_end_grows_for_as_long_as_more_come_than_can_be_answered():
    """In order of arrival, 600 answers a second."""

    def last_waits_s(rate, duration_s):
        free = 0.0
        for due in np.arange(int(rate * duration_s)) / rate:
            free = max(free, due) + 1 / 600
        return free - due

    assert [last_waits_s(500, t) for t in (10, 20)] == pytest.approx([1 / 600] * 2)
    assert [last_waits_s(1000, t) for t in (10, 20)] == pytest.approx([20 / 3, 40 / 3], rel=0.01)


def test_a_request_alone_waits_in_the_batcher_until_the_limit():
    from labkit.serving.dedicated.batch_queue import BatchQueue, Waiting

    queue = BatchQueue(32, 0.002)
    queue.add(Waiting(None, 1, 5.0, None))
    assert queue.ready_s() == pytest.approx(5.002)
    for _ in range(31):
        queue.add(Waiting(None, 1, 5.0005, None))
    assert queue.ready_s() <= 5.0005 and len(queue.take()) == 32
