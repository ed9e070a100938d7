"""The state of a model whose parts lie on several ranks, put together and taken apart: it has no ranks in it."""

from __future__ import annotations

import torch

from labkit.training.agreement import digest_of
from labkit.training.memory import tensor_bytes


def gathered(comm, mine: dict) -> dict:
    """The dictionaries of all ranks in one; tensors on the CPU. Collective."""
    mine = {key: value.detach().cpu().clone() if torch.is_tensor(value) else value for key, value in mine.items()}
    if comm.size == 1:
        return mine
    return {key: value for part in comm.allgather(mine) for key, value in part.items()}


def whole_model(strategy) -> dict:
    """The model's ``state_dict`` on every rank. Collective.

    What this rank holds is given as it is here, so a tied parameter that has drifted apart shows.
    """
    model = strategy.model
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    held = {name: strategy.whole_of(name, t.detach()) for name, t in tensors.items() if name in strategy.held_names}
    everyone = gathered(strategy.comm, {name: held[name] for name in sorted(strategy.owned)})
    found = {}
    for name, tensor in tensors.items():
        found[id(tensor)] = held[name] if name in held else (
            everyone[name].to(tensor.device) if name in everyone else tensor.detach()
        )
    state = dict(model.state_dict(keep_vars=True))
    return {name: found.get(id(t), t.detach() if torch.is_tensor(t) else t) for name, t in state.items()}


def load_model(strategy, state: dict) -> None:
    """Take what this rank holds out of a whole state."""
    tensors = dict(strategy.model.named_parameters()) | dict(strategy.model.named_buffers())
    with torch.no_grad():
        for name in strategy.held_names:
            if name in state:
                tensors[name].copy_(strategy.part_of(name, state[name]))


def whole_optimizer(strategy) -> dict:
    """The optimizer's state by the place of parameters in the whole model, as one process has it. Collective."""
    own = strategy.own_optimizer()
    mine = {}
    for number, name in enumerate(strategy.trained_names):
        if name in strategy.owned:
            for key, value in own["state"].get(number, {}).items():
                mine[name, key] = strategy.whole_of(name, value)
    found: dict[int, dict] = {}
    place = {name: number for number, name in enumerate(strategy.all_trained_names)}
    for (name, key), value in gathered(strategy.comm, mine).items():
        found.setdefault(place[name], {})[key] = value
    groups = [dict(group, params=list(range(len(place)))) for group in own["param_groups"]]
    return {"optimizer": {"state": dict(sorted(found.items())), "param_groups": groups}}


def load_optimizer(strategy, state: dict) -> None:
    """Take the state of this rank's parameters out of a whole one."""
    if not strategy.trained_names:  # a frozen stage: its optimizer has nothing to remember
        return
    place = {name: number for number, name in enumerate(strategy.all_trained_names)}
    whole, mine = state["optimizer"], {}
    for number, name in enumerate(strategy.trained_names):
        row = whole["state"].get(place[name])
        if row:
            mine[number] = {
                key: strategy.part_of(name, v).clone() if torch.is_tensor(v) else v for key, v in row.items()
            }
    groups = [dict(group, params=list(range(len(strategy.trained_names)))) for group in whole["param_groups"]]
    strategy.load_own_optimizer({"state": mine, "param_groups": groups})


class StateOnRanks:
    """The part of a :class:`.strategy.Pipeline` that gives its state whole, and takes it back."""

    def memory(self) -> dict[str, int]:
        """Bytes of this rank's live tensors; ``buffers`` are the activations at their peak."""
        tensors = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        state = [v for values in self.optimizer.state.values() for v in values.values() if torch.is_tensor(v)]
        return {
            "parameters": tensor_bytes([tensors[name] for name in sorted(self.held_names)]),
            "gradients": tensor_bytes([p.grad for p in self.parameters if p.grad is not None]),
            "optimizer": tensor_bytes(state), "buffers": self.peak_bytes,
        }

    def model_state_dict(self) -> dict:
        return whole_model(self)

    def load_model_state_dict(self, state: dict) -> None:
        load_model(self, state)

    def state_dict(self) -> dict:
        return whole_optimizer(self)

    def load_state_dict(self, state: dict) -> None:
        load_optimizer(self, state)

    def whole_of(self, name: str, value):
        """A parameter, or something of its shape, as one process has it."""
        return value

    def part_of(self, name: str, value):
        """What this rank has of it."""
        return value

    def own_optimizer(self) -> dict:
        """The state of the optimizer of this rank's parameters."""
        return self.optimizer.state_dict()

    def load_own_optimizer(self, state: dict) -> None:
        """Take it back."""
        self.optimizer.load_state_dict(state)

    def weights_digest(self) -> str:
        """Of all parameters and buffers, whole. Collective."""
        state = self.model_state_dict()
        return digest_of([state[name] for name, _ in [*self.model.named_parameters(), *self.model.named_buffers()]])
