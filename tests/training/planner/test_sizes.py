"""Parameters and operations of a transformer against PyTorch's own modules and the published formulas."""

import itertools

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit.errors import UsageError
from labkit.training.planner.published import MEGATRON_TABLE, training_days
from labkit.training.planner.sizes import TransformerSize

SIZES = [TransformerSize(3, 48, 4, 100, 17), TransformerSize(1, 8, 1, 5, 1), TransformerSize(4, 64, 8, 33, 20)]


def block(width: int) -> nn.ModuleDict:
    return nn.ModuleDict({
        "norm_1": nn.LayerNorm(width), "qkv": nn.Linear(width, 3 * width), "out": nn.Linear(width, width),
        "norm_2": nn.LayerNorm(width), "widen": nn.Linear(width, 4 * width), "narrow": nn.Linear(4 * width, width),
    })


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_parameters_are_those_of_modules(size):
    modules = [block(size.width) for _ in range(size.num_blocks)]
    modules += [nn.Embedding(size.num_tokens, size.width), nn.Embedding(size.length, size.width)]
    assert size.num_parameters == sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_operations_are_those_that_torch_counts(size):
    n, s, h, a = 3, size.length, size.width, size.num_heads
    parts = block(h)
    tokens, last = torch.randn(n, s, h), torch.randn(h, size.num_tokens)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        qkv = parts["qkv"](tokens).view(n, s, 3, a, h // a).permute(2, 0, 3, 1, 4)
        scores = qkv[0] @ qkv[1].transpose(-1, -2)
        mixed = (scores.softmax(-1) @ qkv[2]).transpose(1, 2).reshape(n, s, h)
        parts["narrow"](parts["widen"](parts["out"](mixed)))
    assert counter.get_total_flops() == size.block_operations(n)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        tokens @ last
    assert counter.get_total_flops() == size.logit_operations(n)
    forward = size.num_blocks * size.block_operations(n)
    assert size.step_operations(n) == 4 * forward + 3 * size.logit_operations(n)
    assert size.step_operations(n, checkpointing=False) == 3 * (forward + size.logit_operations(n))


def test_stages_and_parts_have_all_blocks_and_parameters():
    for blocks, stages in itertools.product(range(1, 14), range(1, 14)):
        size = TransformerSize(blocks, 16, 4, 40, 6)
        if stages > blocks:
            with pytest.raises(UsageError, match=f"{stages} stages for {blocks} blocks"):
                size.blocks_of_stage(0, stages)
            continue
        nums = [size.blocks_of_stage(stage, stages) for stage in range(stages)]
        assert sum(nums) == blocks and max(nums) - min(nums) <= 1
        copies = size.num_tokens * size.width * (stages > 1)  # the last stage's own embedding
        assert sum(size.stage_parameters(s, stages) for s in range(stages)) == size.num_parameters + copies
        halves = [size.stage_parameters(s, stages, 2) for s in range(stages)]
        whole = blocks * 6 * size.width + size.length * size.width  # on both ranks: norms, biases of rows, positions
        assert 2 * sum(halves) == size.num_parameters + copies + whole


@pytest.mark.parametrize("row", MEGATRON_TABLE, ids=lambda row: f"{row.billions}B")
def test_megatron_table(row):
    """Parameters to the printed digits; PFLOP/s and percent as far as TFLOP/s are printed."""
    assert abs(row.computed_billions - row.billions) < 0.0501  # printed with one decimal
    assert abs(row.computed_peta - row.peta) <= 0.5 * row.num_gpus / 1000 + 0.05
    assert abs(row.computed_percent - row.percent_of_peak) <= 0.5 + 50 / 312
    h, s, v, layers = row.size.width, 2048, 51200, row.size.num_blocks
    formula = 96 * row.batch_size * s * layers * h**2 * (1 + s / (6 * h) + v / (16 * layers * h))
    assert row.size.step_operations(row.batch_size) == pytest.approx(formula, rel=1e-12)
    printed = 12 * layers * h**2 * (1 + 13 / (12 * h) + (v + s) / (12 * layers * h))
    assert row.size.num_parameters == pytest.approx(printed, rel=1e-12)


def test_training_days_of_gpt_3():
    assert round(training_days(300e9, 175e9, 1024, 140e12)) == 34
    assert round(training_days(450e9, 1.008e12, 3072, 163e12)) == 84  # section 5.1: the trillion-parameter model


@pytest.mark.parametrize(
    "wrong", [{"num_blocks": 0}, {"width": 2.0}, {"num_heads": 5}, {"length": -1}, {"num_tokens": True}], ids=str
)
def test_errors(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        TransformerSize(**{"num_blocks": 2, "width": 64, "num_heads": 4} | wrong)
