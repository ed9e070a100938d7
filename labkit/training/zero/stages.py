"""The strategies of ZeRO: optimizer, gradients and parameters in shards, one after the other."""

from __future__ import annotations

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.agreement import digest_of
from labkit.training.data_parallel.counting import CountingComm
from labkit.training.data_parallel.replicated import broadcast
from labkit.training.in_pass import PeerFailedError
from labkit.training.recording import Traffic, is_simulated
from labkit.training.strategies import StrategyBase, trained_parameters
from labkit.training.zero.exchange import END, FAILED, LAYER, WELL, Exchange
from labkit.training.zero.state import load_model, load_optimizer, whole_model, whole_optimizer, whole_parameters
from labkit.training.zero.units import Unit, live_bytes, make_units

DTYPES = {None: None, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class ZeRO(StrategyBase):
    """Data parallelism whose ranks keep shards.

    Parameters
    ----------
    stage : int
        1, 2 or 3.
    parameter_dtype : str, optional
        ``"bf16"`` or ``"fp16"``: parameters and gradients are short, each rank keeps its shard in float32 for the
        optimizer, as in the paper (K = 12 with Adam). Without, they stay as they are (float32: K = 8).

    Notes
    -----
    With several micro-batches, stages 2 and 3 share out the gradient of each one: keeping whole gradients until the last
    would need the memory that they save.
    """

    def __init__(self, stage: int, *, parameter_dtype: str | None = None):
        if stage not in (1, 2, 3):
            raise UsageError(f"ZeRO has the stages 1, 2 and 3, not {stage!r}: pass one of them.")
        if parameter_dtype not in DTYPES:
            raise UsageError(f"parameter_dtype is None, 'bf16' or 'fp16', not {parameter_dtype!r}: pass one of them.")
        self.stage, self.dtype, self.name = stage, DTYPES[parameter_dtype], f"zero_{stage}"

    # -- the protocol of strategies -------------------------------------------------------------

    def attach(self, comm, model: nn.Module, optimizer_factory, options, recorder) -> None:
        self.comm, self.model, self.module = CountingComm(comm), model, model
        self.options, self.recorder = options, recorder
        self.exchange = Exchange(self.comm, recorder)
        self.parameters = trained_parameters(model)
        self.names = {id(p): name for name, p in model.named_parameters(remove_duplicate=False)}
        self.hooks: list = []
        # Backward runs inside torch on one stack: simulated ranks cannot take turns there.
        self.acts_in_backward = self.stage > 1 and not is_simulated(comm)
        self.units = make_units(model, comm.size, comm.rank, self.dtype, keeps_full=self.stage < 3)
        self.unit_of = {id(p): unit for unit in self.units for p in unit.parameters}
        if self.stage == 1:
            for unit in self.units:
                unit.keep_gradients()
        self.optimizer = optimizer_factory([unit.master for unit in self.units])
        self.floating_buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self._used: set[int] = set()
        self.unused: tuple[str, ...] = ()
        self._is_first_step = True
        for parameter in self.parameters:
            self.hooks.append(parameter.register_post_accumulate_grad_hook(self._gradient_is_there))
        if self.dtype is not None:
            self.hooks.append(model.register_forward_pre_hook(self._cast_inputs))
        self._watch_forward()

    def _cast_inputs(self, module, inputs):
        return tuple(x.to(self.dtype) if torch.is_tensor(x) and x.is_floating_point() else x for x in inputs)

    def start_step(self) -> None:
        for unit in self.units:
            unit.gradient = None
            if self.stage == 1:
                unit.keep_gradients()
            else:
                for parameter in unit.parameters:
                    parameter.grad = None
        self._begin_micro_batch()

    def start_micro_batch(self, is_last: bool) -> None:
        if self._is_open:
            self._end_micro_batch()
        self._is_last = is_last
        self._is_open = True

    def finish_backward(self) -> None:
        try:
            self._end_micro_batch()
            self.exchange.announce(END)
        except PeerFailedError:  # of another rank, which tells everybody at the end of the step
            self._drop()
            return
        if self.comm.size > 1:
            for buffer in self.floating_buffers:
                broadcast(self.comm, buffer, self.recorder)

    def abort(self) -> None:
        self.exchange.announce(END, state=FAILED)
        self._drop()

    def before_layer(self, about: int, name: str) -> None:
        """A layer communicates next (synchronised batch norm): ranks that fail are met in announcements only."""
        self.exchange.layers[about + 1] = repr(name)
        self.exchange.announce(LAYER, about + 1)

    def end_evaluation(self, failed: bool) -> None:
        """Forward passes of an evaluation have ended on this rank. Collective."""
        self.exchange.announce(END, state=FAILED if failed else WELL)
        if failed:
            self._drop()

    def _drop(self) -> None:
        """Of a step that nobody will finish: gathered units and gradients."""
        for unit in self.units:
            if self.stage == 3:
                unit.release()
            for parameter in unit.parameters:
                parameter.grad = None
        self.exchange.is_broken = False

    def gradient_norm(self) -> float:
        squares = sum(float(torch.linalg.vector_norm(unit.gradient.float())) ** 2 for unit in self.units)
        return self.exchange.add_up(squares) ** 0.5

    def scale_gradients(self, factor: float) -> None:
        for unit in self.units:
            unit.gradient.mul_(factor)

    def step(self, learning_rate: float) -> None:
        if self._is_first_step:
            self._is_first_step = False
            self.unused = tuple(
                name for name, p in self.model.named_parameters() if p.requires_grad and id(p) not in self._used
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        for unit in self.units:  # one by one: a gradient that is short becomes a float32 one for this moment only
            unit.master.grad = unit.gradient.to(unit.master.dtype)
            self.optimizer.step()
            unit.master.grad = None
            unit.keep_short_shard()
            for parameter in unit.parameters:
                parameter.grad = None  # it is this rank's own part of the sum, which would mislead
            if self.stage < 3:
                unit.copy_from_master()
                self.exchange.all_gather(unit)

    def traffic(self) -> Traffic:
        return self.comm.total

    def memory(self) -> dict[str, int]:
        """Bytes of live tensors now; between steps no unit is gathered."""
        masters = [unit.master for unit in self.units]
        state = [v for values in self.optimizer.state.values() for v in values.values() if torch.is_tensor(v) and v.dim()]
        frozen = [p for p in self.model.parameters() if not p.requires_grad]
        own_masters = [m for m, unit in zip(masters, self.units, strict=True) if unit.has_own_master]
        is_short = self.dtype is not None
        shorts = [unit.short_shard for unit in self.units if unit.short_shard is not None]
        parameters = [*(unit.full for unit in self.units), *shorts, *frozen, *self.model.buffers()]
        gradients = [g for unit in self.units for g in (unit.gradient, unit.full_gradient) if g is not None]
        gradients += [p.grad for p in self.parameters if p.grad is not None]
        return {
            "parameters": live_bytes(parameters) + (0 if is_short else live_bytes(own_masters)),
            "gradients": live_bytes(gradients),
            "optimizer": live_bytes(state) + (live_bytes(own_masters) if is_short else 0),
            "buffers": 0,
        }

    def model_state_dict(self) -> dict:
        return whole_model(self)

    def load_model_state_dict(self, state: dict) -> None:
        load_model(self, state)

    def state_dict(self) -> dict:
        return whole_optimizer(self)

    def load_state_dict(self, state: dict) -> None:
        load_optimizer(self, state)

    def weights_digest(self) -> str:
        """Of all parameters and buffers, whole. Collective."""
        state = self.model_state_dict()
        return digest_of([state[name] for name, _ in [*self.model.named_parameters(), *self.model.named_buffers()]])

    def detach(self) -> None:
        for hook in getattr(self, "hooks", ()):
            hook.remove()
        self.hooks = []
        for unit in getattr(self, "units", ()):
            if not unit.is_full:
                unit.take_memory()
            unit.copy_from_master()
            if self.stage == 3 or self.dtype is not None:
                values = whole_parameters(self.comm, unit, unit.master.data)
                for parameter, value in zip(unit.parameters, values, strict=True):
                    parameter.data, parameter.grad = value, None
            else:
                unit.dissolve()
        self.units = []

    # -- gathering in forward and backward ------------------------------------------------------

    def _watch_forward(self) -> None:
        if self.stage < 3:
            return
        users: dict[int, int] = {}
        for module in self.model.modules():
            units = self._units_of(module)
            for unit in units:
                users[unit.number] = users.get(unit.number, 0) + 1
            if units:
                self.hooks.append(module.register_forward_pre_hook(self._before_forward))
                self.hooks.append(module.register_forward_hook(self._after_forward))
        self._shared = {number for number, count in users.items() if count > 1}  # gathered until the end of forward
        self.hooks.append(self.model.register_forward_hook(self._after_whole_forward))

    def _units_of(self, module: nn.Module) -> list[Unit]:
        units = {id(u): u for p in module.parameters(recurse=False) if (u := self.unit_of.get(id(p))) is not None}
        return list(units.values())

    def _gather(self, unit: Unit) -> None:
        if not unit.is_full:
            unit.take_memory()
            self.exchange.all_gather(unit)

    def _before_forward(self, module, inputs) -> None:
        for unit in self._units_of(module):
            self._gather(unit)

    def _after_forward(self, module, inputs, output) -> None:
        units = self._units_of(module)
        trains = torch.is_grad_enabled() and self.model.training
        if trains and self.acts_in_backward:
            for tensor in _tensors(output):
                if tensor.requires_grad:
                    tensor.register_hook(lambda _, units=units: [self._gather(unit) for unit in reversed(units)] and None)
        for unit in units:
            if unit.number not in self._shared:
                unit.release()

    def _after_whole_forward(self, module, inputs, output) -> None:
        for number in self._shared:
            self.units[number].release()
        if not self.acts_in_backward and self.model.training:
            for unit in reversed(self.units):  # all of them now, instead of one by one in backward
                self._gather(unit)

    # -- gradients ------------------------------------------------------------------------------

    def _begin_micro_batch(self) -> None:
        self._missing = {unit.number: len(unit.parameters) for unit in self.units}
        self._is_open = False

    def _gradient_is_there(self, parameter) -> None:
        """A hook: autograd has a gradient of this parameter."""
        self._used.add(id(parameter))
        unit = self.unit_of[id(parameter)]
        self._missing[unit.number] -= 1
        if self._missing[unit.number] == 0 and self.acts_in_backward:
            self._share_out(unit)

    def _share_out(self, unit: Unit) -> None:
        """The unit's gradient of this micro-batch: its sum over the ranks, this rank's shard of it."""
        flat = unit.flat_gradient()
        shard = self.exchange.reduce_scatter(unit, flat)
        if unit.full_gradient is not None:
            own = flat[unit.rank * unit.shard_size : (unit.rank + 1) * unit.shard_size]
            unit.gradient = own if shard is flat else own.copy_(shard)
        else:
            unit.gradient = shard if unit.gradient is None else unit.gradient.add_(shard)
        self._missing.pop(unit.number)
        if self.stage == 3:
            unit.release()

    def _end_micro_batch(self) -> None:
        """Units that backward has not completed, those of parameters that the loss does not depend on among them."""
        if self.stage > 1 or self._is_last:
            for unit in reversed(self.units):
                if unit.number in self._missing:
                    self._share_out(unit)
        self._begin_micro_batch()


def _tensors(output):
    if torch.is_tensor(output):
        yield output
    elif isinstance(output, (list, tuple)):
        for part in output:
            yield from _tensors(part)
    elif isinstance(output, dict):
        for part in output.values():
            yield from _tensors(part)


def zero_1(**settings) -> ZeRO:
    """The optimizer's state in shards."""
    return ZeRO(1, **settings)


def zero_2(**settings) -> ZeRO:
    """Gradients in shards as well."""
    return ZeRO(2, **settings)


def zero_3(**settings) -> ZeRO:
    """Parameters in shards as well."""
    return ZeRO(3, **settings)
