"""Divided layers against whole ones in float64, their messages counted, and the masks of dropout."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from labkit.comm.simulated.run import simulate
from labkit.errors import RankFailedError, UsageError
from labkit.training.losses import sample_losses
from labkit.training.models.dropout import Dropout, element_numbers, random_bits, set_place
from labkit.training.models.initial import initialise
from labkit.training.models.transformer import Attention, Block, Transformer
from labkit.training.tensor_parallel import (
    ColumnLinear,
    ParallelAttention,
    ParallelGroup,
    ParallelMLP,
    RowLinear,
    VocabularyEmbedding,
    VocabularyLoss,
    backward,
    finish_gradients,
    load_whole,
    tensor_parallel,
    whole_gradients,
    whole_state,
)
from labkit.training.tensor_parallel.blocks import ParallelBlock
from labkit.training.tensor_parallel.operations import gather_rows, own_rows
from labkit.training.tensor_parallel.shards import Rows
from labkit.training.tensor_parallel.traffic import SCHEMES, block_messages

spec = importlib.util.spec_from_file_location("tensor_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)
DOUBLE = torch.float64


def close(found, whole):
    torch.testing.assert_close(found, whole, rtol=1e-10, atol=1e-12)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers(p, bias):
    """5 inputs, 7 outputs: divided evenly by none of these numbers of ranks but 1, and 5."""
    whole = initialise(nn.Linear(5, 7, bias), seed=3).double()
    if bias:
        nn.init.uniform_(whole.bias)
    x, g = randn(2, 3, 5), randn(2, 3, 7, seed=1)
    inputs = x.clone().requires_grad_()
    whole(inputs).backward(g)

    def program(comm):
        group = ParallelGroup(comm)
        columns = ColumnLinear.of(whole, group, "columns", gathers=True)
        rows = RowLinear.of(whole, group, "rows")
        mine, part = x.clone().requires_grad_(), slice(*rows.ends[comm.rank : comm.rank + 2])
        result = columns(mine)
        backward(columns, (result * g).sum())
        other = x[..., part].clone().requires_grad_()
        summed = rows(other)
        backward(rows, (summed * g).sum())
        return result.detach(), mine.grad, whole_gradients(columns, group), summed.detach(), other.grad, part, (
            whole_gradients(rows, group))

    for result, of_inputs, of_columns, summed, of_part, part, of_rows in simulate(p, program).results:
        close(result, whole(x).detach())
        close(summed, whole(x).detach())
        close(of_inputs, inputs.grad)
        close(of_part, inputs.grad[..., part])
        for name, parameter in whole.named_parameters():
            close(of_columns[name], parameter.grad)
            close(of_rows[name], parameter.grad)


@pytest.mark.parametrize("sequence_parallel", [False, True])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_a_block(p, causal, sequence_parallel):
    """Outputs, gradients of inputs and of all parameters; 3 x 5 rows are uneven for 2 and 4 ranks."""
    def make(name):
        return Dropout(0.3, name=name, seed=5)

    whole = initialise(Block(12, 12, causal=causal, make_dropout=make), seed=2).double()
    for parameter in whole.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 0.5)
    mask = None if causal else torch.tensor([[True] * 4 + [False]] * 3)[:, None, None, :]
    x, g = randn(3, 5, 12), randn(3, 5, 12, seed=1)
    inputs = x.clone().requires_grad_()
    outputs = whole(inputs, mask)
    outputs.backward(g)

    def program(comm):
        group = ParallelGroup(comm, sequence_parallel=sequence_parallel)
        block = ParallelBlock(whole, group, "block")
        block.in_pass = group
        mine = x.clone().requires_grad_()
        if sequence_parallel:
            rows = group.rows = Rows.of(3, 5, comm.size, comm.rank)
            key = group.add("ends")
            result = block(own_rows(mine.view(15, 12), group, key, rows), mask)
            result = gather_rows(result, group, key, rows, each_has_a_part=False).view(3, 5, 12)
        else:
            result = block(mine, mask)
        backward(block, (result * g).sum())
        finish_gradients(block)
        return result.detach(), mine.grad, whole_gradients(block, group)

    for result, of_inputs, of_parameters in simulate(p, program).results:
        close(result, outputs.detach())
        close(of_inputs, inputs.grad)
        for name, parameter in whole.named_parameters():
            close(of_parameters[name], parameter.grad)


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_table_and_loss(p):
    """11 tokens, the table used twice; targets on every rank, logits far apart."""
    table = randn(11, 4) * 30
    tokens, targets = (torch.randint(0, 11, (3, 5), generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    whole = table.clone().requires_grad_()
    values = functional.embedding(tokens, whole)
    losses = sample_losses(values @ whole.T, targets)
    (losses * torch.tensor([1.0, 2.0, 0.5])).sum().backward()

    def program(comm):
        group = ParallelGroup(comm)
        embed = VocabularyEmbedding(11, 4, group)
        embed.weight = nn.Parameter(embed.shards["weight"].part(table, comm.rank).clone())
        rows = embed(tokens)
        logits = embed.logits(rows)
        mine = VocabularyLoss(group, 11)(logits, targets)
        backward(embed, (mine * torch.tensor([1.0, 2.0, 0.5])).sum())
        return rows.detach(), embed.gather(logits).detach(), mine.detach(), whole_gradients(embed, group)["weight"]

    for rows, logits, mine, gradient in simulate(p, program).results:
        assert torch.equal(rows, values.detach())
        close(logits, (values @ whole.T).detach())
        close(mine, losses.detach())
        close(gradient, whole.grad)


def test_tokens_out_of_range_are_refused_on_all_ranks():
    def program(comm):
        embed = VocabularyEmbedding(5, 2, ParallelGroup(comm))
        for tokens in ([[5]], [[-1]]):
            with pytest.raises(IndexError, match="0 to 4"):
                embed(torch.tensor(tokens))
        return True

    assert all(simulate(2, program).results)
    with pytest.raises(RankFailedError, match="the vocabulary: 2 cannot be shared out to 3 ranks"):
        simulate(3, lambda comm: VocabularyEmbedding(2, 4, ParallelGroup(comm)))


@pytest.mark.parametrize("p", [2, 3, 4])
def test_one_all_reduce_forward_and_one_backward_a_part_of_a_block(p):
    """By the books of the group, and by the simulator's own counts of messages and bytes."""
    x = torch.randn(2, 6, 12)
    size = x.numel() * 4

    def mlp(group):
        return ParallelMLP(12, 24, group)

    def attention(group):
        layer = ParallelAttention(initialise(Attention(12, 12, causal=True), 1), group, "attention")
        return lambda values: layer(values, None)

    for make in (mlp, attention):
        def program(comm, make=make, backwards=True):
            group = ParallelGroup(comm, allreduce="ring")
            layer = make(group)
            mine = x.clone().requires_grad_()
            result = layer(mine)
            if backwards:
                group.backward(result.sum())
            return [(call.kind, call.is_backward, call.num_bytes, call.sent_bytes) for call in group.calls]

        once = 2 * size * (p - 1) // p
        both = simulate(p, program)
        assert both.results == [[("all-reduce", False, size, once), ("all-reduce", True, size, once)]] * p
        one = simulate(p, lambda comm, program=program: program(comm, backwards=False))
        assert one.results == [[("all-reduce", False, size, once)]] * p
        assert (one.counts.num_messages, one.counts.num_bytes) == (2 * p * (p - 1), p * once)  # just a ring's
        assert (both.counts.num_messages, both.counts.num_bytes) == (4 * p * (p - 1), 2 * p * once)


@pytest.mark.parametrize("p", [2, 3, 4])
def test_calls_of_a_model_are_those_of_the_arithmetic(p):
    """Two blocks; with sequence parallelism two other calls in the place of each, with the same bytes."""
    model = Transformer(20, 6, None, width=12, num_heads=12, num_blocks=2, seed=1)
    tokens = torch.randint(0, 20, (2, 6), generator=torch.Generator().manual_seed(1))
    sent = {}
    for scheme in SCHEMES:
        def program(comm, scheme=scheme):
            mine = tensor_parallel(model, comm, sequence_parallel=scheme != SCHEMES[0])
            loss = VocabularyLoss(mine.group, 20)
            backward(mine, loss(mine(tokens), tokens).sum())
            return mine.group.calls

        for calls in simulate(p, program).results:
            own = [
                ("attention" if ".attention" in call.layer else "products", call.is_backward, call.kind, call.num_bytes)
                for call in calls if call.layer.startswith("blocks.0.")
            ]
            wanted = [(m.part, m.is_backward, m.kind, m.num_bytes) for m in block_messages(p, 12, 6, 2, scheme)]
            assert own == wanted
            others = [call for call in calls if not call.layer.startswith("blocks.")]
            assert len([call for call in others if call.layer == "loss"]) == 3
            sent[scheme] = sum(call.sent_bytes for call in calls if call.layer.startswith("blocks."))
    assert sent[SCHEMES[0]] == sent[SCHEMES[1]]


def test_parts_are_put_together_and_cut_again():
    model = Transformer(21, 6, None, width=12, num_heads=4, seed=4).bfloat16()
    other = Transformer(21, 6, None, width=12, num_heads=4, seed=9).bfloat16()

    def program(comm):
        mine = tensor_parallel(model, comm)
        state = whole_state(mine, mine.group)
        load_whole(mine, mine.group, other.state_dict())
        with pytest.raises(UsageError, match="it lacks embed.weight"):
            load_whole(mine, mine.group, {k: v for k, v in state.items() if k != "embed.weight"})
        with pytest.raises(UsageError, match=r"embed.weight has the shape \(3, 3\), the model's \(21, 12\)"):
            load_whole(mine, mine.group, state | {"embed.weight": torch.zeros(3, 3)})
        return state, whole_state(mine, mine.group), sum(p.numel() for p in mine.parameters())

    for p in (1, 2, 4):
        found = simulate(p, program).results
        for state, loaded, _ in found:
            for name, tensor in model.state_dict().items():
                assert torch.equal(state[name], tensor) and state[name].dtype == torch.bfloat16
                assert torch.equal(loaded[name], other.state_dict()[name])
    whole = sum(p.numel() for p in model.parameters())
    assert found[0][2] < 0.35 * whole


def test_ranks_make_their_parts_from_names_and_seed():
    with torch.device("meta"):
        empty = Transformer(21, 6, 3, width=12, num_heads=4, seed=4)
    model = Transformer(21, 6, 3, width=12, num_heads=4, seed=4)

    def program(comm):
        mine = tensor_parallel(empty, comm)
        widen = ColumnLinear(12, 48, mine.group, name="blocks.0.widen", seed=4)
        assert torch.equal(widen.weight, mine.blocks[0].widen.weight)
        narrow = RowLinear(48, 12, mine.group, name="blocks.0.narrow", seed=4)
        assert torch.equal(narrow.weight, mine.blocks[0].narrow.weight)
        return whole_state(mine, mine.group)

    for state in simulate(2, program).results:
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_masks_of_parts_are_parts_of_the_mask():
    layer, x = Dropout(0.4, name="x", seed=3), torch.ones(4, 6, 5)
    whole = layer(x)
    assert set(whole.unique().tolist()) == {0.0, torch.tensor(1 / 0.6).item()}
    for axis in range(3):
        for start in range(x.shape[axis]):
            part = x.narrow(axis, start, 1)
            assert torch.equal(layer(part, shape=x.shape, axis=axis, start=start), whole.narrow(axis, start, 1))
    set_place(layer, 0, 2)
    assert torch.equal(layer(x[2:]), whole[2:])  # the later samples of the batch, as a micro-batch or another rank's
    set_place(layer, 1)
    assert not torch.equal(layer(x), whole)
    assert not torch.equal(Dropout(0.4, name="y", seed=3)(x), whole)
    assert not torch.equal(Dropout(0.4, name="x", seed=4)(x), whole)
    assert torch.equal(layer.eval()(x), x)
    for share in (-0.1, 1, 1.5):
        with pytest.raises(UsageError, match="from 0, below 1"):
            Dropout(share, name="x", seed=0)


def test_random_bits_are_those_of_splitmix64_and_even():
    def splitmix(seed, n):
        words, state, mask = [], seed, 2**64 - 1
        for _ in range(n):
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            words.append((z ^ (z >> 31)) >> 40)
        return words

    for seed in (0, 1234567, 2**64 - 1, 2**63):
        assert random_bits(seed, torch.arange(200)).tolist() == splitmix(seed, 200)
    bits = random_bits(77, torch.arange(100_000)).numpy() / 2**24
    assert abs(bits.mean() - 0.5) < 0.005 and abs(np.corrcoef(bits[1:], bits[:-1])[0, 1]) < 0.015
    assert abs((bits < 0.1).mean() - 0.1) < 0.005
    assert element_numbers((2, 3, 2), 1, 2, 1).tolist() == [[[4, 5]], [[10, 11]]]
