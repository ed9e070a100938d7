"""The memory of a module's training step: against torch's profiler, which sees what is really allocated, and by hand."""

import contextlib
import copy
import resource

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from labkit.errors import UsageError
from labkit.training.models.cnn import CNN
from labkit.training.models.mlp import MLP
from labkit.training.models.transformer import Transformer
from labkit.training.planner.module_memory import (
    CUBLAS_BYTES,
    CUBLAS_HOPPER_BYTES,
    CUDA_BLOCK_BYTES,
    NUM_HANDLES,
    forecast_memory,
)


def of_tokens(outputs, targets):
    return cross_entropy(outputs.flatten(0, 1), targets.flatten())


def momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def language(width, num_blocks, length, samples, num_tokens=100, **settings):
    tokens = torch.randint(1, num_tokens, (samples, length))
    return Transformer(num_tokens, length, None, width=width, num_blocks=num_blocks, **settings), (tokens, tokens), of_tokens


def case(name):
    """(Module, batch, loss)."""
    torch.manual_seed(0)
    if name == "mlp":
        return MLP((256, 512, 512, 10)), (torch.randn(64, 256), torch.randint(10, (64,))), cross_entropy
    if name == "mlp of many samples":
        return MLP((64, 64, 64, 64, 10)), (torch.randn(2048, 64), torch.randint(10, (2048,))), cross_entropy
    if name.startswith("cnn"):
        pictures = torch.randn(24, 3 if "colour" in name else 1, 28, 28)
        model = CNN(10, in_channels=pictures.shape[1], batch_norm="plain" not in name)
        return model, (pictures, torch.randint(10, (24,))), cross_entropy
    if name == "sentences":
        tokens = torch.randint(0, 100, (16, 32))
        return Transformer(100, 32, 2, width=64, num_blocks=2), (tokens, torch.randint(2, (16,))), cross_entropy
    return {
        "wide": lambda: language(256, 2, 32, 2, 500), "long": lambda: language(64, 4, 256, 4, 50),
        "small": lambda: language(64, 3, 64, 8), "dropout": lambda: language(64, 2, 32, 16, dropout=0.1),
    }[name]()


def allocated(module, batch, loss, optimizer, precision="fp32", is_checkpointed=False):
    """The most bytes at a time in two real steps, as the allocator has reported them."""
    model = copy.deepcopy(module).train()
    if is_checkpointed:
        from torch.utils.checkpoint import checkpoint

        for block in model.blocks:
            block.forward = lambda *values, forward=block.forward: checkpoint(forward, *values, use_reentrant=False)
    made = optimizer(list(model.parameters()))
    before = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in (*model.parameters(), *model.buffers(), *batch)}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for _ in range(2):
            made.zero_grad(set_to_none=True)
            with contextlib.nullcontext() if precision == "fp32" else torch.autocast("cpu", torch.bfloat16):
                outputs = model(batch[0])
            result = loss(outputs.float(), batch[1])
            result.backward()
            del outputs, result
            made.step()
    events = enumerate(profiler.profiler.kineto_results.events())
    sizes = [size for _, _, size in sorted((e.start_ns(), k, e.nbytes()) for k, e in events if e.name() == "[memory]")]
    assert len(sizes) > 20
    total = most = 0
    for size in sizes:
        total += size
        most = max(most, total)
    return sum(before.values()) + most


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [
    "mlp", "mlp of many samples", "cnn", "cnn in colour", "cnn plain", "small", "wide", "long", "sentences", "dropout",
])
def test_the_peak_is_what_is_allocated(name):
    optimizer = momentum if name in ("mlp", "cnn plain", "long") else torch.optim.AdamW
    module, batch, loss = case(name)
    forecast = forecast_memory(module, batch, loss, optimizer)
    assert forecast.peak_bytes == pytest.approx(allocated(module, batch, loss, optimizer), rel=0.01)
    assert sum(forecast.by_kind().values()) == forecast.peak_bytes


@pytest.mark.parametrize("name", ["small", "wide", "long"])
@pytest.mark.parametrize(("precision", "is_checkpointed"), [("fp32", True), ("bf16", False), ("bf16", True)])
def test_checkpointing_and_autocast(name, precision, is_checkpointed):
    module, batch, loss = case(name)
    forecast = forecast_memory(module, batch, loss, momentum, checkpointed=is_checkpointed, precision=precision)
    found = allocated(module, batch, loss, momentum, precision, is_checkpointed)
    assert forecast.peak_bytes == pytest.approx(found, rel=0.05)
    plain = forecast_memory(module, batch, loss, momentum, precision=precision)
    assert forecast.kept_bytes < plain.kept_bytes / 2 if is_checkpointed else forecast.kept_bytes == plain.kept_bytes


def test_autocast_of_pictures():
    module, batch, loss = case("cnn")
    forecast = forecast_memory(module, batch, loss, momentum, precision="bf16")
    assert forecast.peak_bytes == pytest.approx(allocated(module, batch, loss, momentum, "bf16"), rel=0.05)


def test_kinds_by_hand():
    """Two layers of 8 -> 16 -> 4 with biases, and 32 samples in float32."""
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    batch = torch.randn(32, 8), torch.randn(32, 4)
    forecast = forecast_memory(module, batch, nn.functional.mse_loss, torch.optim.AdamW)
    num = 8 * 16 + 16 + 16 * 4 + 4
    assert forecast.parameters_bytes == 4 * num and forecast.inputs_bytes == 4 * 32 * (8 + 4)
    assert forecast.optimizer_bytes == 2 * 4 * num + 4 * 4  # two moments, and a count for each tensor
    assert forecast.kept_bytes == 4 * 32 * (16 + 4)  # ReLU's output, for ReLU and for the product after it; the outputs
    assert forecast.workspace_bytes == forecast.rounding_bytes == 0
    frozen = copy.deepcopy(module)
    frozen[0].requires_grad_(False)
    less = forecast_memory(frozen, batch, nn.functional.mse_loss, torch.optim.AdamW)
    assert less.optimizer_bytes == 2 * 4 * (16 * 4 + 4) + 2 * 4 and less.parameters_bytes == 4 * num


def test_shared_memory_counts_once_and_meta_is_enough():
    module, batch, loss = case("small")
    real = forecast_memory(module, batch, loss, torch.optim.AdamW)
    assert real.parameters_bytes == 4 * sum(p.numel() for p in module.parameters())
    assert module.classify is None  # the embedding is the last matrix as well
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.device("meta"):
        empty = Transformer(100, 64, None, width=64, num_blocks=3)
    assert forecast_memory(empty, [value.to("meta") for value in batch], loss, torch.optim.AdamW) == real
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_gpu_takes_blocks_workspaces_and_all_parameters_at_once():
    module, batch, loss = case("small")
    plain, gpu = (forecast_memory(module, batch, loss, torch.optim.AdamW, device=d, is_hopper=False) for d in ("cpu", "cuda"))
    assert gpu.workspace_bytes == NUM_HANDLES * CUBLAS_BYTES and (gpu.peak_bytes - gpu.workspace_bytes) % CUDA_BLOCK_BYTES == 0
    assert gpu.rounding_bytes > 0 == plain.rounding_bytes and gpu.parameters_bytes == plain.parameters_bytes
    hopper = forecast_memory(module, batch, loss, torch.optim.AdamW, device="cuda", is_hopper=True)
    assert hopper.peak_bytes - gpu.peak_bytes == NUM_HANDLES * (CUBLAS_HOPPER_BYTES - CUBLAS_BYTES)
    large = language(512, 6, 8, 1)
    step = forecast_memory(*large, torch.optim.AdamW, device="cuda", is_hopper=False)
    assert step.phase == "optimizer" and step.temporary_bytes == pytest.approx(step.parameters_bytes, rel=0.01)
    one = forecast_memory(*large, lambda p: torch.optim.AdamW(p, foreach=False), device="cuda", is_hopper=False)
    assert one.peak_bytes < step.peak_bytes - 0.5 * step.parameters_bytes


def test_a_billion_parameters_are_not_allocated():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.device("meta"):
        module = Transformer(50_000, 128, None, width=2048, num_heads=16, num_blocks=18)
        tokens = torch.zeros(2, 128, dtype=torch.long)
    num = sum(p.numel() for p in module.parameters())
    forecast = forecast_memory(module, (tokens, tokens), of_tokens, momentum, device="cuda", is_hopper=True)
    assert num > 10**9 and forecast.parameters_bytes == 4 * num and forecast.peak_bytes > 12 * num
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": (torch.zeros(4, 256),)}, "a batch has inputs and targets"),
        ({"precision": "fp8"}, "one of fp32, bf16, fp16"),
        ({"device": "tpu"}, "for 'cpu' and 'cuda'"),
        ({"checkpointed": ("blocks.0",)}, "'blocks.0', which MLP has not: its modules are layers"),
        ({"loss": lambda outputs, targets: outputs}, r"the loss has the shape \(64, 10\)"),
        ({"batch": (torch.zeros(4, 7), torch.zeros(4))}, "MLP cannot be forecast: .* check that the batch fits"),
    ],
)
def test_errors(changes, words):
    module, batch, loss = case("mlp")
    arguments = {"module": module, "batch": batch, "loss": loss, "optimizer": momentum} | changes
    with pytest.raises(UsageError, match=words):
        forecast_memory(**arguments)


def test_a_module_that_looks_at_values_is_refused():
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, values):
            return self.layer(values) if values.sum() > 0 else values

    with pytest.raises(UsageError, match="Chooses cannot be forecast.*move decisions about values"):
        forecast_memory(Chooses(), (torch.ones(2, 4), torch.ones(2, 4)), nn.functional.mse_loss, momentum)
    with pytest.raises(UsageError, match="no parameter to train"):
        forecast_memory(nn.Linear(4, 4).requires_grad_(False), (torch.ones(2, 4), torch.ones(2, 4)), nn.functional.mse_loss, momentum)


@pytest.mark.gpu
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("precision", "is_checkpointed"), [("fp32", False), ("fp32", True), ("bf16", False)])
def test_a_billion_parameters_on_a_gpu(precision, is_checkpointed):
    """Against what torch's allocator has counted. Three states and the temporary of Adam are 20 bytes a parameter."""
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    free = torch.cuda.mem_get_info()[0]
    num_blocks = 18 if free > 30e9 else max(1, int((free / 30 - 0.11e9) / 50.4e6))  # of a smaller GPU what fits
    with torch.device("meta"):
        empty = Transformer(50_000, 256, None, width=2048, num_heads=16, num_blocks=num_blocks)
        shapes = torch.zeros(4, 256, dtype=torch.long)
    forecast = forecast_memory(
        empty, (shapes, shapes), of_tokens, torch.optim.AdamW, device="cuda", precision=precision, checkpointed=is_checkpointed
    )
    if num_blocks == 18:
        assert forecast.parameters_bytes > 4e9
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    model = empty.to_empty(device="cuda").train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
    if is_checkpointed:
        from torch.utils.checkpoint import checkpoint

        for block in model.blocks:
            block.forward = lambda *values, forward=block.forward: checkpoint(forward, *values, use_reentrant=False)
    tokens = torch.randint(1, 50_000, (4, 256), device="cuda")
    optimizer = torch.optim.AdamW(list(model.parameters()))
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        optimizer.zero_grad(set_to_none=True)
        with contextlib.nullcontext() if precision == "fp32" else torch.autocast("cuda", torch.bfloat16):
            outputs = model(tokens)
        result = of_tokens(outputs.float(), tokens)
        result.backward()
        del outputs, result
        optimizer.step()
    torch.cuda.synchronize()
    found = torch.cuda.max_memory_allocated() - before
    assert forecast.peak_bytes == pytest.approx(found, rel=0.05), f"{forecast}, and {found / 1e6:.0f} MB were allocated"
