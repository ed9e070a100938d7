"""What a function is configured with, and the limits of AWS Lambda that do not depend on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType

from labkit.errors import UsageError

MAX_REQUEST_BYTES = 6_291_456  # 6 MiB
MAX_RESPONSE_BYTES = 6_291_556  # AWS allows 100 bytes more on the way back
MAX_ENVIRONMENT_BYTES = 4096
MB_PER_VCPU = 1769  # AWS gives a function processor time in proportion to its memory
REGION, ACCOUNT = "us-east-1", "000000000000"
# A call of one of these counts as loading the model, in the phases of a cold start.
MODEL_LOADERS = ("classifier.load_package", "labkit.serving.package.classifier.load_package")


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """A function: where its code is, and what it may use.

    Parameters
    ----------
    folder : str or Path
        What would be unpacked as ``/var/task``: the handler's file and all it imports.
    handler : str
        ``module.function``.
    memory_mb : int
        128 to 10240. An environment whose processes hold more is killed.
    timeout_s : float
        Limit of one call, up to 900 s; an environment that takes longer is killed.
    keep_alive_s : float
        An environment that had nothing to do for so long ends. AWS keeps them for some 5 to 15 minutes.
    reserved_concurrency : int, optional
        At most so many requests at a time; more are answered 429. Without it `account_concurrency` counts.
    provisioned_concurrency : int
        So many environments are started ahead, kept, and replaced when they die.
    environment : mapping of str to str
        Variables for the handler, at most 4096 bytes.
    name : str
        Of the function, in its ARN and its logs.
    init_timeout_s : float
        Limit of everything before the first call.
    account_concurrency : int
        Requests at a time without a reservation. An account of AWS starts with 1000, this machine with 100.
    model_loaders : tuple of str
        Dotted names of the functions whose time is the phase "model" of a cold start.

    Raises
    ------
    UsageError
        A value breaks one of these rules.

    Examples
    --------
    >>> FunctionSettings(folder=".", memory_mb=64)
    Traceback (most recent call last):
    labkit.errors.UsageError: memory_mb is 128 to 10240, not 64: AWS Lambda offers no other sizes.
    """

    folder: str | Path
    handler: str = "lambda_function.handler"
    memory_mb: int = 512
    timeout_s: float = 3.0
    keep_alive_s: float = 300.0
    reserved_concurrency: int | None = None
    provisioned_concurrency: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "function"
    init_timeout_s: float = 10.0
    account_concurrency: int = 100
    model_loaders: tuple[str, ...] = MODEL_LOADERS

    def __post_init__(self):
        folder = Path(self.folder).expanduser().absolute()
        if not folder.is_dir():
            raise UsageError(f"folder is the folder of the function's files, and {folder} is no folder.")
        if not isinstance(self.handler, str) or not re.fullmatch(r"[\w./-]+\.\w+", self.handler):
            raise UsageError(f"handler is 'module.function', as in 'lambda_function.handler', not {self.handler!r}.")
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name):
            raise UsageError(f"name has 1 to 64 letters, digits, '-' and '_', unlike {self.name!r}.")
        _whole("memory_mb", self.memory_mb, 128, 10240, "AWS Lambda offers no other sizes")
        _seconds("timeout_s", self.timeout_s, 900, "AWS Lambda ends every call after 15 minutes")
        _seconds("init_timeout_s", self.init_timeout_s, 900, "AWS Lambda gives 10 s")
        _seconds("keep_alive_s", self.keep_alive_s, 86400, "a day is as good as for ever", lowest=0)
        _whole("account_concurrency", self.account_concurrency, 1, 1000, "every environment is a process")
        if self.reserved_concurrency is not None:
            _whole("reserved_concurrency", self.reserved_concurrency, 0, 1000, "0 answers every request with 429")
        _whole("provisioned_concurrency", self.provisioned_concurrency, 0, 1000, "every environment is a process")
        if self.provisioned_concurrency > self.concurrency_limit:
            raise UsageError(
                f"provisioned_concurrency is {self.provisioned_concurrency}, more than the {self.concurrency_limit} "
                "requests that may run at a time: raise reserved_concurrency, or provision less."
            )
        variables = dict(self.environment)
        _check_variables(variables)
        object.__setattr__(self, "folder", folder)
        object.__setattr__(self, "environment", MappingProxyType(variables))
        object.__setattr__(self, "model_loaders", tuple(self.model_loaders))

    @property
    def concurrency_limit(self) -> int:
        """How many requests may run at a time."""
        return self.account_concurrency if self.reserved_concurrency is None else self.reserved_concurrency

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"

    def to_dict(self) -> dict:
        """For JSON; ``FunctionSettings(**values)`` makes it again."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"folder": str(self.folder), "environment": dict(self.environment)}


def _whole(name: str, value: object, lowest: int, highest: int, reason: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise UsageError(f"{name} is {lowest} to {highest}, not {value!r}: {reason}.")


def _seconds(name: str, value: object, highest: float, reason: str, lowest: float = 0.001) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
        raise UsageError(f"{name} is {lowest:g} to {highest:g} seconds, not {value!r}: {reason}.")


def _check_variables(variables: dict) -> None:
    for key, value in variables.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise UsageError(f"environment maps names to texts; {key!r}: {value!r} is something else.")
        if not re.fullmatch(r"[A-Za-z]\w*", key, re.ASCII) or "\0" in value:
            raise UsageError(f"environment: {key!r} is no name of a variable, or its value has a zero byte in it.")
        if key.startswith(("AWS_", "LAMBDA_")):
            raise UsageError(f"environment: {key} is set by the service itself; take a name without AWS_ or LAMBDA_.")
    num_bytes = sum(len(key.encode()) + len(value.encode()) for key, value in variables.items())
    if num_bytes > MAX_ENVIRONMENT_BYTES:
        raise UsageError(
            f"environment has {num_bytes} bytes, and AWS Lambda allows {MAX_ENVIRONMENT_BYTES}: put large values into "
            "a file."
        )
