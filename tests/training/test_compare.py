"""The table of all strategies, against formulas and against runs of one process."""

import numpy as np
import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import RankFailedError, UsageError
from labkit.training.compare import ALL, HEADINGS, compare
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.serial import train_serial

DATA = load_digits()
OPTIONS = TrainingOptions(num_steps=5, batch_size=34)
NUM_RANKS, NUM_PARAMETERS = 3, 64 * 32 + 32 + 32 * 10 + 10


def model():
    return make_model("mlp", DATA, hidden=(32,))


@pytest.fixture(scope="module")
def tables():
    return simulate(NUM_RANKS, lambda comm: compare(comm, model, DATA, OPTIONS)).results


def test_every_strategy_has_a_row(tables):
    table = tables[0]
    assert [row.name for row in table.rows] == ["serial", *ALL] and {str(t) for t in tables} == {str(table)}
    assert [row.name for row in table.rows if row.left_out] == ["torch_ddp"]
    for row in table.rows:
        if row.left_out:
            continue
        tolerance = 0.2 if row.name == "parameter_server" else 1e-5  # there it is a mean of the shards' losses
        assert row.losses[0] == pytest.approx(table["serial"].losses[0], rel=tolerance)
        if row.name in ("fp16_compressed", "bf16_compressed", "top_k"):
            assert 1e-5 < row.difference < 1  # they lose bits
        else:
            assert row.difference < 1e-5, row.name
    assert table["serial"].difference == 0 and table["serial"].step_s is None


def test_bytes_and_memory_are_those_of_the_formulas(tables):
    table, psi = tables[0], 4 * NUM_PARAMETERS
    whole = 2 * (NUM_RANKS - 1) / NUM_RANKS * psi * OPTIONS.num_steps
    factors = {"naive": 1, "flat": 1, "overlapped": 1, "fp16_compressed": 0.5, "zero_1": 1, "zero_3": 1.5}
    for name, factor in factors.items():
        assert np.allclose(table[name].sent_bytes, factor * whole, rtol=0.01), name
    assert table["parameter_server"].sent_bytes == tuple(psi * OPTIONS.num_steps * n for n in (2, 1, 1))
    assert set(table["flat"].num_messages) == {2 * (NUM_RANKS - 1) * OPTIONS.num_steps}
    assert set(table["naive"].num_messages) == {4 * 2 * (NUM_RANKS - 1) * OPTIONS.num_steps}  # four parameters
    plain, sharded = table["flat"].tensors_bytes[0], table["zero_3"].tensors_bytes[0]
    assert plain == 3 * psi and sharded == pytest.approx(psi, rel=0.02)  # parameters, gradients, momentum


def test_a_difference_is_the_largest_of_a_weight_by_the_largest_way(tables):
    from labkit.training.trainer import Trainer

    def program(comm):
        with Trainer(comm, model(), DATA, OPTIONS, strategy="top_k") as trainer:
            trainer.run()
            return torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()])

    alone, first = model(), model()
    train_serial(alone, DATA, OPTIONS)
    first, last = (torch.cat([p.detach().reshape(-1) for p in m.parameters()]) for m in (first, alone))
    found = simulate(NUM_RANKS, program).results[0]
    wanted = float((found - last).abs().max() / (last - first).abs().max())
    assert tables[0]["top_k"].difference == pytest.approx(wanted)


def test_as_text_and_in_a_notebook(tables):
    table = tables[0]
    lines = str(table).splitlines()
    assert len(lines) == len(table.rows) + 2 and lines[1].split()[0] == HEADINGS[0]
    assert "left out: simulated ranks share a process" in str(table)
    text = table._repr_html_()
    assert text.count("<tr>") == len(table.rows) + 1 and "torch&#x27;s DDP" in text
    with pytest.raises(UsageError, match="no row 'ring'"):
        table["ring"]


@pytest.mark.parametrize("wrong", [("flat", "flatt"), "flat", ("serial",)])
def test_wrong_names_are_refused(wrong):
    with pytest.raises(RankFailedError, match="is a sequence of names"):
        simulate(2, lambda comm: compare(comm, model, DATA, OPTIONS, strategies=wrong))


def test_one_rank_needs_no_server():
    names = ("flat", "parameter_server")
    table = simulate(1, lambda comm: compare(comm, model, DATA, OPTIONS, strategies=names)).results[0]
    assert table["flat"].difference == 0 and "parameter_server" in str(table) and table["parameter_server"].left_out
