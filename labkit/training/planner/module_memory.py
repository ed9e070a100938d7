"""The memory that training a module takes, by kind, without allocating it: a model of billions on a laptop.

Two training steps run on fake tensors (shapes without values): forward, loss, backward, optimizer. Each allocation and
each release is noted, in the order in which the real step makes them. So what several operations share counts once, what
autograd keeps for the backward pass is what it really keeps, and the peak is where it really is: at the end of the
forward pass, in the middle of the backward pass, or in the optimizer.
"""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.planner.live_storages import LiveStorages, blocks

KINDS = ("parameters", "buffers", "inputs", "gradients", "optimizer", "activations")
CUDA_BLOCK_BYTES = 512  # of torch's caching allocator
# A cuBLAS handle has its workspace on each stream: of 2 x 4096 KiB + 8 x 16 KiB, on Hopper of 32 MiB (torch:
# getChosenWorkspaceSize, and NVIDIA's cuBLAS documentation). Forward and backward run in two threads, a handle each.
CUBLAS_BYTES, CUBLAS_HOPPER_BYTES, NUM_HANDLES = 2 * 4096 * 1024 + 8 * 16 * 1024, 32 * 2**20, 2
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class MemoryForecast:
    """Bytes at the moment of the peak, by kind.

    Attributes
    ----------
    parameters_bytes, buffers_bytes, inputs_bytes : int
        Of the module, each memory once; of the batch.
    gradients_bytes, optimizer_bytes : int
        What there is of them at the peak.
    activations_bytes : int
        What autograd has kept for the backward pass and not yet let go.
    temporary_bytes : int
        Results on their way.
    rounding_bytes : int
        Each piece takes whole blocks of the allocator.
    workspace_bytes : int
        Of libraries: cuBLAS's on a GPU, copies of the CPU's convolutions (:mod:`.convolution_memory`).
    peak_bytes : int
        The sum of all.
    phase : str
        Where the peak is: ``"forward"``, ``"backward"``, ``"optimizer"``.
    kept_bytes : int
        Activations at the end of the forward pass.
    """

    parameters_bytes: int
    buffers_bytes: int
    inputs_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    temporary_bytes: int
    rounding_bytes: int
    workspace_bytes: int
    peak_bytes: int
    phase: str
    kept_bytes: int

    def by_kind(self) -> dict[str, int]:
        """Bytes of each kind at the peak."""
        return {kind: getattr(self, f"{kind}_bytes") for kind in (*KINDS, "temporary", "rounding", "workspace")}

    def __str__(self) -> str:
        parts = ", ".join(f"{kind} {size / 1e6:.3g} MB" for kind, size in self.by_kind().items() if size)
        return f"{self.peak_bytes / 1e6:.4g} MB at the peak, in {self.phase}: {parts}"


def forecast_memory(
    module: nn.Module, batch: Sequence, loss: Callable, optimizer: Callable, *, checkpointed: Sequence[str] | bool = (),
    precision: str = "fp32", device: str = "cpu", is_hopper: bool | None = None,
) -> MemoryForecast:
    """Forecast the peak of training steps.

    Parameters
    ----------
    module : torch.nn.Module
        Anywhere, also on the ``"meta"`` device, where it has no memory. It is not changed.
    batch : sequence
        Inputs and targets: tensors of the right shapes, also on ``"meta"``. The module is called with all but the last.
    loss : callable
        ``loss(outputs, targets)``, a number.
    optimizer : callable
        Makes the optimizer of a list of parameters: ``torch.optim.AdamW``, or a lambda with its settings.
    checkpointed : sequence of str, or bool
        Names of submodules that keep their input alone and are computed again in the backward pass; True: the members of
        the longest ``ModuleList`` or ``Sequential``.
    precision : str
        ``"fp32"``, or ``"bf16"`` or ``"fp16"``: forward under autocast.
    device : str
        ``"cuda"``: blocks of 512 bytes, workspaces of cuBLAS, and the optimizer over all parameters at once, as torch
        does there. ``"cpu"``: bytes as they are.
    is_hopper : bool, optional
        Whether the GPU is one, whose workspaces are larger; of this machine's by default.

    Returns
    -------
    MemoryForecast

    Raises
    ------
    UsageError
        A batch without targets, names that the module has not, or a module that looks at values while it runs.

    Notes
    -----
    With a GPU here, operations are those that torch chooses for it; without, those of the CPU, whose attention keeps as
    much as the memory-efficient one of a GPU. Not forecast: what the allocator cannot use of blocks of a MiB and more,
    workspaces of convolutions, and what the CUDA driver takes for itself.

    Examples
    --------
    A billion parameters on a laptop:

    >>> from labkit.training.models.transformer import Transformer
    >>> with torch.device("meta"):
    ...     model = Transformer(50_000, 512, None, width=2048, num_heads=16, num_blocks=18)
    ...     tokens = torch.zeros(2, 512, dtype=torch.long)
    >>> loss = lambda outputs, targets: nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())
    >>> forecast = forecast_memory(model, (tokens, tokens), loss, torch.optim.AdamW, device="cuda", is_hopper=False)
    >>> f"{forecast.parameters_bytes / 4e9:.2f} B parameters, {forecast.phase}"
    '1.01 B parameters, optimizer'
    """
    batch = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if len(batch) < 2:
        raise UsageError(f"a batch has inputs and targets, not {len(batch)} value: pass (inputs, targets).")
    if precision != "fp32" and precision not in AUTOCAST:
        raise UsageError(f"precision={precision!r}: it is one of fp32, {', '.join(AUTOCAST)}.")
    if device not in ("cpu", "cuda"):
        raise UsageError(f"device={device!r}: memory is forecast for 'cpu' and 'cuda'.")
    names = _checkpointed(module, checkpointed)
    live = LiveStorages()
    try:
        _run(module, batch, loss, optimizer, names, precision, device, live)
    except UsageError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise UsageError(
            f"{type(module).__name__} cannot be forecast: {type(error).__name__}: {lines[0]:.200}. A forecast runs on shapes "
            "alone: check that the batch fits, and move decisions about values (.item(), if on a tensor) out of forward."
        ) from error
    block = CUDA_BLOCK_BYTES if device == "cuda" else 1
    peak, alive = live.peak(block)
    sizes = live.by_kind(alive, KINDS)
    workspace = sizes["workspace"]
    if device == "cuda":
        cublas = NUM_HANDLES * (CUBLAS_HOPPER_BYTES if _is_hopper(is_hopper) else CUBLAS_BYTES)
        workspace, peak = workspace + cublas, peak + cublas
    rounding = sum(blocks(size, block) - size for size in alive.values())
    kept = live.by_kind(live.alive_at(_place(live, "forward")), KINDS)["activations"]
    return MemoryForecast(
        *(sizes[kind] for kind in (*KINDS, "temporary")), rounding, workspace, peak, _phase(live, block), kept
    )


def _run(module, batch, loss, optimizer, names, precision, device, live: LiveStorages) -> None:
    """Two steps; in the second one the optimizer's state is there from the beginning."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    place = "cuda" if device == "cuda" and torch.cuda.is_available() else "cpu"
    with FakeTensorMode(allow_non_fake_inputs=True):
        twins = _twins(module, place)
        model = copy.deepcopy(module, dict(twins)).train()
        values = [_twin(value, place) if torch.is_tensor(value) else value for value in batch]
        _checkpoint(model, names)
        with live:
            for parameter in model.parameters():
                live.note(parameter, "parameters")
            for buffer in model.buffers():
                live.note(buffer, "buffers")
            for value in values:
                if torch.is_tensor(value):
                    live.note(value, "inputs")
            trained = [p for p in model.parameters() if p.requires_grad]
            if not trained:
                raise UsageError(f"{type(module).__name__} has no parameter to train: set requires_grad of some.")
            for parameter in trained:
                parameter.register_post_accumulate_grad_hook(lambda p: live.note(p.grad, "gradients") and None)
            made = optimizer(trained)
            if device == "cuda":
                _all_at_once(made)
            for _ in range(2):
                made.zero_grad(set_to_none=True)
                _step(model, values, loss, made, precision, place, live)


def _step(model, values, loss, optimizer, precision: str, place: str, live: LiveStorages) -> None:
    def keep(tensor):
        if not isinstance(tensor, nn.Parameter):
            live.note(tensor, "activations")
        return tensor

    cast = contextlib.nullcontext()
    if precision != "fp32":
        cast = torch.autocast(place, AUTOCAST[precision])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with cast:
            outputs = model(*values[:-1])
        result = loss(outputs.float() if precision != "fp32" else outputs, values[-1])
    if result.dim():
        raise UsageError(f"the loss has the shape {tuple(result.shape)}: return one number, its mean or its sum.")
    live.mark("forward")
    with torch.autograd.set_multithreading_enabled(False):  # what watches operations belongs to this thread
        result.backward()
    live.mark("backward")
    del outputs, result
    optimizer.step()
    for state in optimizer.state.values():
        for value in state.values():
            if torch.is_tensor(value):
                live.note(value, "optimizer")
    live.mark("optimizer")
    gc.collect()  # what cycles of objects hold: the order in which they end is no property of the module


def _twins(module: nn.Module, place: str) -> dict[int, torch.Tensor]:
    """Fake tensors for all parameters and buffers, in the form of copy.deepcopy's memory."""
    found = {}
    for parameter in module.parameters():
        found[id(parameter)] = nn.Parameter(_twin(parameter, place), requires_grad=parameter.requires_grad)
    for buffer in module.buffers():
        found[id(buffer)] = _twin(buffer, place)
    return found


def _twin(tensor: torch.Tensor, place: str) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=place)


def _checkpointed(module: nn.Module, names: Sequence[str] | bool) -> tuple[str, ...]:
    if names is True:
        lists = [(name, m) for name, m in module.named_modules() if isinstance(m, (nn.ModuleList, nn.Sequential))]
        if not lists:
            raise UsageError(
                f"{type(module).__name__} has no list of layers: name the submodules, such as ('block_1', 'block_2')."
            )
        name, layers = max(lists, key=lambda item: len(item[1]))
        return tuple(f"{name}.{k}" if name else str(k) for k in range(len(layers)))
    names = () if names is False else (names,) if isinstance(names, str) else tuple(names)
    known = dict(module.named_modules())
    for name in names:
        if name not in known or not name:
            raise UsageError(
                f"checkpointed names {name!r}, which {type(module).__name__} has not: its modules are "
                f"{', '.join(list(known)[1:9])}{', ...' if len(known) > 9 else ''}."
            )
    return names


def _checkpoint(model: nn.Module, names: Sequence[str]) -> None:
    from torch.utils.checkpoint import checkpoint

    for name in names:
        layer = model.get_submodule(name)
        layer.forward = lambda *values, forward=layer.forward, **settings: checkpoint(
            forward, *values, use_reentrant=False, preserve_rng_state=False, **settings
        )


def _all_at_once(optimizer) -> None:
    """On a GPU an optimizer goes over all parameters at once, unless it was told otherwise."""
    for group in optimizer.param_groups:
        if "foreach" in group and group["foreach"] is None and not group.get("fused"):
            group["foreach"] = True


def _place(live: LiveStorages, name: str) -> int:
    return [position for mark, position in live.marks if mark == name][-1]


def _phase(live: LiveStorages, block: int) -> str:
    total = most = place = 0
    for position, (_, size) in enumerate(live.events, 1):
        total += blocks(size, block)
        if total > most:
            most, place = total, position
    return next((name for name, position in live.marks if place <= position), "optimizer")


def _is_hopper(is_hopper: bool | None) -> bool:
    if is_hopper is not None:
        return bool(is_hopper)
    return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] == 9
