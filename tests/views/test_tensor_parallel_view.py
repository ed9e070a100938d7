"""The picture of divided matrices, and the bytes of a block by scheme."""

import pytest

from labkit.errors import UsageError
from labkit.training.tensor_parallel.traffic import SCHEMES, block_flops, block_messages, kept_bytes
from labkit.views.tensor_parallel import tensor_parallel_figure, tensor_parallel_layout
from labkit.views.tensor_parallel_traffic import block_traffic_figure, block_traffic_layout


def area(box):
    return (box.right - box.left) * (box.top - box.bottom)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("num_ranks", range(1, 9))
def test_parts_are_the_whole_and_do_not_overlap(num_ranks, scheme):
    picture = tensor_parallel_layout(num_ranks, 7, 13, hidden=17, scheme=scheme)  # divided evenly by nothing
    for matrix in ("A", "H", "B") + (("own X", "Y") if scheme == SCHEMES[1] and num_ranks > 1 else ()):
        parts = [box for box in picture.boxes if box.matrix == matrix]
        assert [box.rank for box in parts] == list(range(num_ranks))
        left, right = min(box.left for box in parts), max(box.right for box in parts)
        bottom, top = min(box.bottom for box in parts), max(box.top for box in parts)
        assert sum(map(area, parts)) == pytest.approx((right - left) * (top - bottom))
        for one, two in zip(parts[:-1], parts[1:], strict=True):  # side by side, or one below the other
            assert one.right == pytest.approx(two.left) or one.bottom == pytest.approx(two.top)
    columns, rows = ([area(box) for box in picture.boxes if box.matrix == name] for name in ("A", "B"))
    assert columns == pytest.approx(rows)  # the rows of B that belong to the columns of A
    partial = [box for box in picture.boxes if box.matrix == "partial Y"]
    assert [box.rank for box in partial] == (list(range(num_ranks)) if num_ranks > 1 else [])
    matrices = {}
    for box in picture.boxes:
        low, high = matrices.get(box.matrix, (box.left, box.right))
        matrices[box.matrix] = min(low, box.left), max(high, box.right)
    spans = sorted(matrices.values())
    assert all(one[1] < two[0] for one, two in zip(spans[:-1], spans[1:], strict=True))
    for message in picture.messages:
        assert all(not low < message.x < high for low, high in spans)
    assert picture.width == pytest.approx(spans[-1][1])


def test_messages_are_those_of_a_block():
    for num_ranks in range(2, 9):
        plain, divided = (tensor_parallel_layout(num_ranks, 8, 4, scheme=scheme).messages for scheme in SCHEMES)
        assert [(m.forward, m.backward) for m in plain] == [("", "all-reduce"), ("all-reduce", "")]
        assert [(m.forward, m.backward) for m in divided] == [
            ("all-gather", "reduce-scatter"), ("reduce-scatter", "all-gather")]
        assert {m.num_bytes for m in (*plain, *divided)} == {8 * 4 * 4}
        assert plain[0].sent_bytes == 2 * divided[0].sent_bytes == 2 * 128 * (num_ranks - 1) / num_ranks
    assert tensor_parallel_layout(1).messages == ()


def test_traffic_of_the_schemes_is_the_same():
    for num_ranks in (1, 2, 3, 8):
        bars = block_traffic_layout(num_ranks, 12, 5, 3)
        sums = {scheme: sum(bar.sent_bytes for bar in bars if bar.scheme == scheme) for scheme in SCHEMES}
        assert len(set(sums.values())) == 1
        assert sums[SCHEMES[0]] == pytest.approx(4 * 2 * 12 * 5 * 3 * 4 * (num_ranks - 1) / num_ranks)
        for scheme in SCHEMES:
            for is_backward in (False, True):
                end = 0
                for bar in bars:
                    if (bar.scheme, bar.is_backward) == (scheme, is_backward):
                        assert bar.start_bytes == pytest.approx(end)
                        end += bar.sent_bytes
    assert [m.part for m in block_messages(2, 8, 4, 1)] == ["attention", "products", "products", "attention"]


def test_published_sizes():
    """Korthikanti et al.: 34 sbh + 5 a s^2 b without parallelism, a p-th of it with both kinds."""
    size = kept_bytes(1, 12288, 2048, 1, 96)
    assert size == 2048 * 12288 * (34 + 5 * 96 * 2048 / 12288)
    assert kept_bytes(8, 12288, 2048, 1, 96) == 2048 * 12288 * (10 + 24 / 8 + 5 * 96 * 2048 / 12288 / 8)
    # Megatron's count: 72 B s h^2 (1 + s / 6h) forward and backward of a layer
    assert block_flops(4096, 2048, 3) == pytest.approx(72 * 3 * 2048 * 4096**2 * (1 + 2048 / (6 * 4096)))


def test_figures_draw_all_and_refuse_what_they_cannot():
    figure = tensor_parallel_figure(4, scheme=SCHEMES[1])
    assert {trace.name for trace in figure.data} == {"every rank", "rank 0", "rank 1", "rank 2", "rank 3"}
    assert sum(bool(trace.showlegend) for trace in figure.data) == 5
    words = " ".join(note.text for note in figure.layout.annotations)
    assert "all-gather" in words and "reduce-scatter" in words and "all-reduce" not in words
    assert "nothing" in block_traffic_figure(1, 64, 8, 1).layout.title.text
    assert "192 MiB" in block_traffic_figure(4, 4096, 2048, 1).layout.title.text
    for wrong in ((0,), (9,), (4, 1, 5)):
        with pytest.raises(UsageError):
            tensor_parallel_figure(*wrong, hidden=3 if len(wrong) == 3 else None)
    with pytest.raises(UsageError, match="there is no scheme 'both'"):
        tensor_parallel_figure(2, scheme="both")
    with pytest.raises(UsageError, match="length is 1 or more"):
        block_traffic_layout(2, 8, 0, 1)
