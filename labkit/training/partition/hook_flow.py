"""What flows between modules, from one run of the model: hooks on its modules, and every function of torch on the way.

It sees what happened with the example, whatever the model's code looks like; what would happen with other inputs, it
does not know.
"""

from __future__ import annotations

from torch import nn
from torch.overrides import TorchFunctionMode

from labkit.training.partition.flow import Flow, Value, leaves_of, num_bytes, tensors_in


class _Watch(TorchFunctionMode):
    """Notes the tensors that functions take and give, and the piece in which they do."""

    def __init__(self, model: nn.Module, inputs: tuple):
        super().__init__()
        self.flow = Flow()
        self.parameter_names = {id(p): name for name, p in model.named_parameters()}
        self.constants = {id(b) for b in model.buffers()}
        self.values: dict[int, Value] = {}
        self.alive = []  # tensors, so that no other gets the address of one that is gone
        self.piece = 0
        self.note_made(inputs)

    def note_call(self, name: str, module: nn.Module, arguments) -> None:
        self.flow.calls.append(name)
        self.piece = len(self.flow.calls) - 1
        for parameter in module.parameters():
            self.flow.uses(self.parameter_names[id(parameter)], self.piece)
        self.note_used(arguments)

    def note_used(self, arguments) -> None:
        for tensor in tensors_in(arguments):
            if id(tensor) in self.parameter_names:
                self.flow.uses(self.parameter_names[id(tensor)], self.piece)
            elif id(tensor) in self.values:
                self.values[id(tensor)].last_use = self.piece

    def note_made(self, results) -> None:
        for tensor in tensors_in(results):
            if id(tensor) in self.parameter_names or id(tensor) in self.constants:
                continue
            value = Value(self.piece, num_bytes(tensor), tensor.requires_grad, self.piece)
            self.values[id(tensor)] = value
            self.flow.values.append(value)
            self.alive.append(tensor)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.note_used((args, kwargs))
        results = func(*args, **kwargs)
        self.note_made(results)
        return results


def flow_of_run(model: nn.Module, inputs: tuple) -> Flow:
    """Pieces, what they make and use, when the model computes these inputs."""
    watch, handles = _Watch(model, inputs), []
    try:
        for name, leaf in leaves_of(model).items():
            handles.append(leaf.register_forward_pre_hook(
                lambda module, args, kwargs, name=name: watch.note_call(name, module, (args, kwargs)), with_kwargs=True
            ))
        with watch:
            results = model(*inputs)
        watch.note_used(results)
    finally:
        for handle in handles:
            handle.remove()
    return watch.flow
