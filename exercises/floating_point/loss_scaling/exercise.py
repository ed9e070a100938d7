"""Dynamic loss scaling, step by step: what is applied and with which scale, to the last bit."""

import ast

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def deliver(row, scale):
    """float16 gradients, element by element: exact products, rounded once; all scales are powers of two."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (row.astype(np.float64) * scale).astype(np.float16)


def steps(gradients, scale, growth_interval):
    """The run as it must be: what is applied, and the scales."""
    rows, scales, count = [], [], 0
    for row in gradients:
        sent = deliver(row, scale)
        scales.append(scale)
        if np.isfinite(sent).all():
            rows.append((sent.astype(np.float64) / scale).astype(np.float32))
            count += 1
            if count == growth_interval:
                scale, count = min(2 * scale, 2.0**24), 0
        else:
            rows.append(np.zeros(len(row), np.float32))
            scale, count = max(scale / 2, 1.0), 0
    return np.array(rows, np.float32).reshape(gradients.shape), np.array(scales, np.float64)


def same(one, other):
    return np.array_equal(one, other, equal_nan=True)


def case(label, gradients, scale, growth_interval):
    gradients = np.array(gradients, np.float32)
    given = gradients.copy()
    rows, scales = steps(gradients, float(scale), growth_interval)

    def judge(results):
        found = results[0]["return"]
        if not isinstance(found, (list, tuple)) or len(found) != 2:
            return "two arrays should come back: return applied, scales"
        applied, used = (np.asarray(part) for part in found)
        if applied.shape != rows.shape or used.shape != scales.shape:
            shapes = f"{applied.shape} and {used.shape} came back instead of {rows.shape} and {scales.shape}"
            return f"arrays of the shapes {shapes}"
        for step in range(len(rows)):
            if used[step] != scales[step]:
                return f"step {step} has the scale {used[step]:g}, but it should have {scales[step]:g}"
            if not same(applied[step], rows[step]):
                k = int(np.flatnonzero(applied[step] != rows[step])[0])
                return (
                    f"step {step}, gradient {k}: {float(applied[step, k])!r} is applied, but it should be "
                    f"{float(rows[step, k])!r} (the gradient is {float(given[step, k])!r}, the scale {scales[step]:g})"
                )
        if not same(results[0][0], given):
            return "gradients have been changed: make a new array for what is applied"
        return ""

    num_steps = f"{len(gradients)} step{'s' * (len(gradients) != 1)}"
    words = f"{label}: {num_steps}, scale {scale:g}, growth interval {growth_interval}"
    return Case(words, ((gradients, float(scale), growth_interval),), judge=judge)


def training(num_steps, seed, scale, growth_interval, *, spikes=0.1, n=5):
    """Small gradients, and now and then a step with a large one, an infinite one or NaN."""
    rng = np.random.default_rng([num_steps, seed])
    gradients = rng.standard_normal((num_steps, n)) * 10.0 ** rng.uniform(-9, -1, (num_steps, n))
    for step in np.flatnonzero(rng.random(num_steps) < spikes):
        gradients[step, rng.integers(n)] = rng.choice([300.0, -2e4, np.inf, -np.inf, np.nan])
    return case("a training", gradients, scale, growth_interval)


def cases():
    small = [1e-8, 3e-6, -0.02]
    return [
        case("one step", [small], 1024, 10), case("one step without scaling", [small], 1, 10),
        case("one that overflows", [[1.0, 100.0]], 1024, 10), case("one with NaN", [[1.0, np.nan]], 16, 10),
        case("one infinite", [[-np.inf, 1e-6]], 16, 10),
        case("an overflow, and on", [[80.0, 1e-8], [0.5, 1e-8], [0.5, 1e-8]], 2048, 10),
        case("good steps", [small] * 5, 64, 2), case("good steps", [small] * 4, 64, 1),
        case("good, good, bad, good, good", [[1e-3], [1e-3], [1e4], [1e-3], [1e-3], [1e-3]], 64, 3),
        case("down to 1", [[1e5]] * 6 + [[1e-3]], 8, 3), case("up to 2^24", [[1e-7]] * 6, 2.0**22, 1),
        case("just below and above the limit", [[31.98], [31.992188], [31.992189], [32.0]], 2048, 100),
        training(60, 1, 2.0**16, 5), training(200, 2, 2.0**10, 3), training(50, 3, 2.0**20, 50, spikes=0.4),
        case("no gradients", np.zeros((3, 0)), 16, 2),
    ]


def _in_float16(row, sent, scale):
    with np.errstate(all="ignore"):
        return (sent / np.float16(scale)).astype(np.float32)


def _too_early(row, sent, scale):
    with np.errstate(all="ignore"):
        sent = (row.astype(np.float16).astype(np.float32) * np.float32(scale)).astype(np.float16)
        return sent.astype(np.float32) / np.float32(scale)


def _first_step(failure):
    """(step, scale used, scale that is right, applied row, row that is right) of the first step that is wrong."""
    applied, scales = (np.asarray(part) for part in failure.actual(0))
    rows, right = steps(*failure.case.arguments[0])
    for step in range(len(rows)):
        if scales[step] != right[step] or not same(applied[step], rows[step]):
            return step, scales[step], right[step], applied[step], rows[step]
    raise LookupError


def _when(is_so):
    """A slip shown by ``is_so(failure, step, scale, right scale, row, right row)`` at the first wrong step."""
    return lambda failure: failure.status is Status.INCORRECT and is_so(failure, *_first_step(failure))


def _delivered(failure, step):
    gradients = failure.case.arguments[0][0]
    return deliver(gradients[step], steps(*failure.case.arguments[0])[1][step])


def _bad_before(failure, step, within):
    """Whether one of the steps before was left out."""
    return any(not np.isfinite(_delivered(failure, k)).all() for k in range(max(step - within, 0), step))


def _is_short_before_scaling(source):
    """Whether something that is multiplied has been made float16."""
    operations = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.BinOp)]
    products = [node for node in operations if isinstance(node.op, ast.Mult)]
    return "gradients.astype(np.float16)" in source or any("float16" in ast.unparse(node) for node in products)


exercise = Exercise(
    title="Gradients that would become zero",
    function="scaled_steps",
    points=4,
    cases=cases,
    hints=(
        "Go step by step with two things to remember: the scale, and how many good steps there were in a row. What is "
        "applied was float16 once, but never again after the division.",
        "delivered = (gradient * np.float32(scale)).astype(np.float16); np.isfinite(delivered).all() tells good from "
        "bad. Note the scale used before you change it.",
        "if not np.isfinite(delivered).all():\n    scale = max(scale / 2, 1.0)\n    num_good = 0\n    continue\n"
        "applied[step] = delivered.astype(np.float32) / np.float32(scale)\nnum_good += 1\n"
        "if num_good == growth_interval: ...",
    ),
    slips=(
        Slip(
            "The gradients become float16 before they are multiplied: what is lost then, no scale brings back. "
            "Multiply in float32, then round.",
            lambda f: _is_short_before_scaling(f.source) and _when(
                lambda f, step, used, right, row, wanted: used == right and np.isfinite(_delivered(f, step)).all()
                and same(row, _too_early(f.case.arguments[0][0][step], None, right)))(f),
        ),
        Slip(
            "The result is divided by the scale in float16, and the small gradients become 0 after all. Convert to "
            "float32 first, then divide.",
            _when(lambda f, step, used, right, row, wanted: used == right and np.isfinite(wanted).all() and same(
                row, _in_float16(None, _delivered(f, step), right)) and np.isfinite(_delivered(f, step)).all()),
        ),
        Slip(
            "A NaN has been applied: isinf does not see it. np.isfinite is false for both.",
            _when(lambda f, step, used, right, row, wanted: bool(np.isnan(row).any())),
        ),
        Slip(
            "A step with an overflow is left out as a whole: nothing of it is applied, also not what is finite or has "
            "been clipped to the largest number.",
            _when(lambda f, step, used, right, row, wanted: used == right and bool(row.any())
                  and not np.isfinite(_delivered(f, step)).all()),
        ),
        Slip(
            "The scale has changed before the division, or before it was noted: use one scale for the whole step, and "
            "change it at the end.",
            _when(lambda f, step, used, right, row, wanted: (used == right and same(row * 2, wanted))
                  or (step == 0 and used != right)),
        ),
        Slip(
            "The scale stays between 1 and 2^24: look at both ends.",
            _when(lambda f, step, used, right, row, wanted: used < 1 or used > 2.0**24),
        ),
        Slip(
            "After an overflow the good steps are counted from 0 again.",
            _when(lambda f, step, used, right, row, wanted: used == 2 * right and _bad_before(
                f, step, f.case.arguments[0][2])),
        ),
        Slip(
            "After the scale has been doubled the good steps are counted from 0 again; else it is doubled at every "
            "step, or never again.",
            _when(lambda f, step, used, right, row, wanted: used != right and step > f.case.arguments[0][2]
                  and not _bad_before(f, step, step)),
        ),
        Slip(
            "The scale is doubled at the wrong step: it grows after growth_interval good steps, so that the next one "
            "already has the new scale.",
            _when(lambda f, step, used, right, row, wanted: used != right and not _bad_before(f, step, step)),
        ),
        Slip(
            "An overflow halves the scale, for the next step.",
            _when(lambda f, step, used, right, row, wanted: used != right and step > 0 and not np.isfinite(
                _delivered(f, step - 1)).all()),
        ),
    ),
)
