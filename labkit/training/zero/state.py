"""Shards put together, and cut again: what is saved has no ranks in it, so every strategy can go on with it."""

from __future__ import annotations

import torch


def whole_parameters(comm, unit, shard: torch.Tensor) -> list[torch.Tensor]:
    """What all ranks' shards of a unit say of each of its parameters. Collective."""
    parts = [shard.cpu()] if comm.size == 1 else comm.comm.allgather(shard.detach().cpu().clone())
    flat = torch.cat(parts).to(shard.device)
    return [flat[a:b].view(p.shape).clone() for p, (a, b) in zip(unit.parameters, unit.bounds(), strict=True)]


def whole_model(strategy) -> dict:
    """The model's ``state_dict`` on every rank, in the optimizer's type. Collective."""
    values = _whole(strategy, [unit.master.data for unit in strategy.units])
    state = dict(strategy.model.state_dict())
    for name in state:
        parameter = _named(strategy.model, name)
        if id(parameter) in values:
            state[name] = values[id(parameter)]
    return state


def load_model(strategy, state: dict) -> None:
    """Take this rank's shards, and all buffers, out of a whole state."""
    for name, tensor in strategy.model.named_buffers():
        if name in state:
            tensor.data.copy_(state[name])
    for unit in strategy.units:
        flat = torch.cat([state[strategy.names[id(p)]].reshape(-1).to(unit.master.dtype) for p in unit.parameters])
        unit.master.data.copy_(unit.shard_of(flat, strategy.comm.size))
        unit.keep_short_shard()
        if unit.keeps_full:
            unit.full[: unit.numel].data.copy_(flat)


def whole_optimizer(strategy) -> dict:
    """The optimizer's state by parameter, as a strategy without shards has it. Collective."""
    own = strategy.optimizer.state_dict()
    units, parameters = strategy.units, strategy.parameters
    place = {id(p): number for number, p in enumerate(parameters)}
    found: dict[int, dict] = {number: {} for number in place.values() if own["state"]}
    names = {key for values in own["state"].values() for key, v in values.items() if torch.is_tensor(v) and v.dim()}
    for key in sorted(names):
        whole = _whole(strategy, [own["state"][number][key] for number in range(len(units))])
        for parameter in parameters:
            found[place[id(parameter)]][key] = whole[id(parameter)]
    for number, unit in enumerate(units):
        for key, value in own["state"].get(number, {}).items():
            if key not in names:
                for parameter in unit.parameters:
                    found[place[id(parameter)]][key] = value.clone() if torch.is_tensor(value) else value
    groups = [dict(group, params=list(range(len(parameters)))) for group in own["param_groups"]]
    return {"optimizer": {"state": found, "param_groups": groups}}


def load_optimizer(strategy, state: dict) -> None:
    """Take this rank's shards out of a whole state of the optimizer."""
    optimizer = state["optimizer"]
    place = {id(p): number for number, p in enumerate(strategy.parameters)}
    mine: dict[int, dict] = {}
    for number, unit in enumerate(strategy.units):
        rows = [optimizer["state"].get(place[id(p)]) for p in unit.parameters]
        if not all(rows):
            continue
        for key, value in rows[0].items():
            if torch.is_tensor(value) and value.dim():
                value = unit.shard_of(torch.cat([row[key].reshape(-1) for row in rows]), strategy.comm.size)
            elif torch.is_tensor(value):
                value = value.clone()  # the optimizer counts in it, in place
            mine.setdefault(number, {})[key] = value
    groups = [dict(group, params=list(range(len(strategy.units)))) for group in optimizer["param_groups"]]
    strategy.optimizer.load_state_dict({"state": mine, "param_groups": groups})


def _whole(strategy, shards: list[torch.Tensor]) -> dict[int, torch.Tensor]:
    """By the identity of parameters."""
    found = {}
    for unit, shard in zip(strategy.units, shards, strict=True):
        values = whole_parameters(strategy.comm, unit, shard)
        found |= {id(parameter): value for parameter, value in zip(unit.parameters, values, strict=True)}
    return found


def _named(model, name: str):
    """The parameter of this name, shared ones under each of theirs; None for a buffer."""
    module, _, last = name.rpartition(".")
    return model.get_submodule(module)._parameters.get(last)
