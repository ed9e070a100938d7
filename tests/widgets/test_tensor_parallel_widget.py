"""The explorer of divided matrices follows its controls, and counts."""

import pytest

from labkit.training.tensor_parallel.traffic import SCHEMES, block_messages
from labkit.views.theme import bytes_text
from labkit.widgets.tensor_parallel import REAL, TensorParallelExplorer


def test_it_follows_its_controls():
    explorer = TensorParallelExplorer()
    for num_ranks, width, length, batch, scheme in (
        (4, 1024, 128, 8, SCHEMES[0]), (4, 1024, 128, 8, SCHEMES[1]), (8, 12288, 4096, 1, SCHEMES[1]), (3, 64, 16, 1, SCHEMES[0]),
    ):
        explorer.num_ranks.value, explorer.width.value, explorer.length.value = num_ranks, width, length
        explorer.batch.value, explorer.scheme.value = batch, scheme
        messages = block_messages(num_ranks, width, length, batch, scheme)
        sent = bytes_text(sum(message.sent_bytes for message in messages))
        assert f"<b>{len(messages)} calls</b>" in explorer.sentence.value and f"sends {sent} " in explorer.sentence.value
        assert f"on {num_ranks} ranks: {scheme}" in explorer.matrices.layout.title.text
        assert {trace.name for trace in explorer.matrices.data} == {"every rank", *(f"rank {r}" for r in range(num_ranks))}
        assert sent in explorer.traffic.layout.title.text
    explorer.num_ranks.value = 1
    assert "sends nothing" in explorer.sentence.value and "1 rank:" in explorer.matrices.layout.title.text


@pytest.mark.timeout(240)
def test_it_counts_on_simulated_and_on_real_ranks():
    explorer = TensorParallelExplorer(num_ranks=3)

    def count():
        explorer.counted.button.click()
        explorer.counted.wait(200)
        return explorer.counted.status.value

    assert "on 3 ranks, a block of width 48: forward 2 all-reduce, backward 2 all-reduce; 18432 bytes" in count()
    assert "as the arithmetic says" in explorer.counted.status.value
    explorer.scheme.value = SCHEMES[1]
    assert "forward 2 all-gather and 2 reduce-scatter, backward 2 all-gather and 2 reduce-scatter; 18432 bytes" in count()
    explorer.num_ranks.value, explorer.kind.value = 2, REAL
    assert "on 2 ranks, a block of width 32" in count() and "as the arithmetic says" in explorer.counted.status.value
    explorer.num_ranks.value = 8
    assert "choose 4 ranks or fewer" in count()
    assert not explorer.num_ranks.disabled
