"""Widgets of softmax follow their controls and show what the functions give."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.roofline import Roofline
from labkit.softmax.calibration.study import digits_study
from labkit.softmax.options import masked_softmax
from labkit.softmax.passes import stated_passes
from labkit.widgets import softmax_measured
from labkit.widgets.softmax import WORDS, FailureExplorer, MergeTreeExplorer, SoftmaxExplorer
from labkit.widgets.softmax_calibration import CalibrationExplorer, DigitExplorer
from labkit.widgets.softmax_measured import AccuracyExplorer, PassesExplorer
from labkit.widgets.softmax_ranks import VocabularyExplorer


def flat(explorer):
    parts = [(trace.x, trace.y, getattr(trace, "text", None), str(trace.marker) if trace.type != "heatmap" else str(trace.z)) for trace in explorer.figure.data]
    return repr(parts) + str(explorer.figure.layout.title.text) + explorer.sentence.value + str(explorer.figure.layout.annotations)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (SoftmaxExplorer, {"temperature": 0.25, "top_k": 2, "left_out": ("cat",), "target": 3}),
        (FailureExplorer, {"version": "online", "spread": 30}), (CalibrationExplorer, {
            "temperature": 2.181, "num_bins": 5, "bins": "count", "part": "trained", "label_smoothing": 0.1}),
        (DigitExplorer, {"order": "least sure", "number": 3, "temperature": 2.181}),
        (MergeTreeExplorer, {"row": "rising", "num_logits": 5, "order": "one by one", "step": 3}),
        (VocabularyExplorer, {"num_ranks": 3, "algorithm": "allreduce_ring", "row": 2, "step": 2}),
    ],
)  # fmt: skip
def test_every_control_changes_the_picture_and_back(make, changes):
    explorer = make()
    at_first = flat(explorer)
    if make in (VocabularyExplorer,):  # the algorithm is seen in the messages
        explorer.step.value, at_first = 3, None
    for key, value in changes.items():
        before, start = flat(explorer), explorer.controls[key].value
        explorer.controls[key].value = value
        assert flat(explorer) != before and "Not shown" not in explorer.sentence.value, key
        explorer.controls[key].value = start
        assert flat(explorer) == before, key
    assert at_first in (None, flat(explorer))


def test_probabilities_are_those_of_softmax():
    explorer = SoftmaxExplorer(temperature=2)
    explorer.controls["left_out"].value = ("dog", "stone")
    explorer.controls["top_k"].value = 3
    mask = [name not in ("dog", "stone") for name in WORDS]
    expected = masked_softmax(np.array([list(WORDS.values())]), temperature=2.0, mask=mask, top_k=3)[0]
    assert np.allclose(explorer.figure.data[1].y, expected)
    explorer.controls["target"].value, explorer.controls["label_smoothing"].value = 0, 0.1
    assert "the loss is infinite" in explorer.sentence.value
    explorer.controls["left_out"].value, explorer.controls["top_k"].value = (), len(WORDS)
    assert "nats" in explorer.sentence.value and sum(explorer.figure.data[3].y) == pytest.approx(1)
    explorer.controls["left_out"].value = tuple(WORDS)
    assert "0 / 0" in explorer.sentence.value
    named = SoftmaxExplorer([1.0, 2.0], ["<b>", "b"])
    assert "<b>b</b>" in named.sentence.value
    named.controls["left_out"].value = ("b",)
    assert "&lt;b&gt;" in named.sentence.value


def test_merges_step_and_play():
    explorer = MergeTreeExplorer([1.0, -math.inf, 3.0])
    assert explorer.row.value == "yours" and explorer.step.max == explorer.play.max == 2
    explorer.step.value = 2
    assert "all states are one" in explorer.figure.layout.title.text and "m = max(1, 3) = 3" in explorer.sentence.value
    explorer.play.playing = True
    explorer.row.value = "mixed"
    assert not explorer.play.playing and explorer.step.value == 0 and len(explorer.logits) == 3
    explorer.num_logits.value = 16
    assert explorer.step.max == 15
    explorer.row.value = "yours"
    assert explorer.num_logits.value == 3 and explorer.step.max == 2
    single = MergeTreeExplorer([5.0])
    assert single.step.max == 0 and "state of its own" in single.sentence.value


def test_the_fitted_temperature_is_set_by_a_button():
    study = digits_study(label_smoothing=0.1)
    explorer = CalibrationExplorer(study, temperature=1)
    assert explorer.controls["label_smoothing"].disabled and "0.566" in explorer.sentence.value
    explorer.fit.click()
    assert explorer.controls["temperature"].value == pytest.approx(0.566, rel=0.05)
    found = study.test.calibration(explorer.controls["temperature"].value)
    assert f"error {found.expected_error:.1%}" in explorer.figure.layout.title.text


def test_sure_and_wrong_pictures_come_first():
    explorer = DigitExplorer()
    test = explorer.study.test
    p = np.exp(test.logits) / np.exp(test.logits).sum(axis=1, keepdims=True)
    wrong = p.argmax(axis=1) != test.targets
    assert f"{p[wrong].max():.1%} sure" in explorer.figure.layout.title.text and "which is wrong" in explorer.figure.layout.title.text
    explorer.controls["number"].value = int(wrong.sum())
    assert "which is right" in explorer.figure.layout.title.text


def test_ranks_and_traffic():
    explorer = VocabularyExplorer(8)
    explorer.step.value = 4
    assert "24 messages" in explorer.figure.layout.title.text
    assert "72 messages, 4.5 KiB" in explorer.sentence.value and "56 MiB" in explorer.sentence.value
    explorer.num_ranks.value = 1
    assert "0 messages, 0 B" in explorer.figure.layout.title.text


def run(explorer):
    explorer.button.click()
    explorer.wait(100)
    assert explorer.button.description != "Stop" and "could not" not in explorer.status.value, explorer.status.value


def test_passes_are_counted_and_times_measured(monkeypatch):
    class Quick:
        roofline = Roofline(1e9, 2e9, (("L1", 5e10), ("DRAM", 1e10)))
        topology = SimpleNamespace(last_level_cache_bytes=50_000)

    monkeypatch.setattr(softmax_measured, "this_machine", lambda progress: Quick)
    monkeypatch.setitem(softmax_measured.SHAPES, "1 x 16777216", (3, 2048))
    explorer = PassesExplorer()
    run(explorer)
    names = [one.version for one in explorer.value.passes]
    assert names == list(softmax_measured.ON_CPU) == [t.version for t in explorer.value.times]
    assert "Memory gives 10 GB/s" in explorer.status.value and explorer.value.times[0].num_elements == 6144
    assert "fit in the last cache, 48.8 KiB" in explorer.status.value
    least = explorer.figures[0].data[-2].x
    assert least[names.index("online")] == pytest.approx(2 * 4 / 10, abs=0.05)  # ns: rows of 2048 stay in the cache

    def unavailable(**options):
        raise NotAvailableError("not here")

    monkeypatch.setattr(softmax_measured, "count_passes", unavailable)
    run(explorer)
    assert explorer.value.passes == stated_passes(softmax_measured.ON_CPU) and "those of the algorithms" in explorer.status.value


def test_errors_are_measured():
    explorer = AccuracyExplorer()
    explorer.num_columns.value, explorer.spread.value = 100, 100.0
    run(explorer)
    found = {one.version: one for one in explorer.value}
    assert np.isinf(found["naive"].max_ulp) and found["threaded"].max_ulp <= 2 and 1 < found["shifted"].max_ulp < 100
    assert "NaN or infinite: naive" in explorer.status.value
    assert [a.y for a in explorer.figures[0].layout.annotations if a.text == "NaN"] == ["naive, float32"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SoftmaxExplorer([1.0, math.nan]), "finite numbers"), (lambda: SoftmaxExplorer([]), "1 to 20"),
        (lambda: SoftmaxExplorer("ab"), "finite"), (lambda: SoftmaxExplorer([1.0, 2.0], ["a", "a"]), "different ones"),
        (lambda: SoftmaxExplorer(names=["a"]), "missing"), (lambda: SoftmaxExplorer(temperature=0), "from 0.031"),
        (lambda: FailureExplorer("gpu"), "one of naive"), (lambda: MergeTreeExplorer([math.nan]), "1 to 16"),
        (lambda: MergeTreeExplorer([1.0] * 17), "1 to 16"), (lambda: MergeTreeExplorer(5), "not 5"), (lambda: MergeTreeExplorer(order="x"), "pairs, one by one"),
        (lambda: VocabularyExplorer(17), "1 to 16"), (lambda: VocabularyExplorer(2.5), "1 to 16"),
        (lambda: VocabularyExplorer(algorithm="x"), "algorithm"), (lambda: CalibrationExplorer("x"), "digits_study"),
        (lambda: CalibrationExplorer(temperature=9), "0.25 to 8"), (lambda: DigitExplorer(3), "digits_study"),
    ],
)  # fmt: skip
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
