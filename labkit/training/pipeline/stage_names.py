"""The names of the modules of each stage, as a user gives them: checked, and turned round."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labkit.errors import UsageError


def stage_of_names(model: nn.Module, names: Sequence[Sequence[str]]) -> dict[str, int]:
    """The stage of each name.

    Raises
    ------
    UsageError
        A stage is empty, a name is unknown, or two stages have a part of the same module.
    """
    if not names:
        raise UsageError("a model is cut into 1 stage or more, not 0: pass the names of the modules of each stage.")
    modules, stage_of = dict(model.named_modules()), {}
    for number, part in enumerate(names):
        if isinstance(part, str) or not part:
            raise UsageError(
                f"stage {number} of {len(names)} is empty: every stage has a module or more. Take fewer stages, or "
                f"give it some of {', '.join(list(modules)[1:7])}."
            )
        for name in part:
            if name not in modules and name not in dict(model.named_parameters()):
                raise UsageError(
                    f"stage {number} has the module {name!r}, which {type(model).__name__} has not: its modules are "
                    f"{', '.join(list(modules)[1:9])}{', ...' if len(modules) > 9 else ''}."
                )
            if stage_of.setdefault(name, number) != number:
                raise UsageError(
                    f"the module {name!r} lies on the stages {stage_of[name]} and {number}: leave one out."
                )
    for name, number in stage_of.items():
        for prefix in prefixes(name):
            if stage_of.get(prefix, number) != number:
                raise UsageError(
                    f"{name!r} lies on stage {number}, but {prefix!r}, which it is a part of, on stage "
                    f"{stage_of[prefix]}: name the parts of {prefix!r} one by one."
                )
    return stage_of


def prefixes(name: str) -> list[str]:
    """The modules around a module, the smallest first.

    Examples
    --------
    >>> prefixes("blocks.0.norm")
    ['blocks.0', 'blocks']
    """
    parts = name.split(".")
    return [".".join(parts[:k]) for k in range(len(parts) - 1, 0, -1)]
