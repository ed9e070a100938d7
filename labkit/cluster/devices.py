"""Which GPU is a rank's own: those of its machine are dealt out by the rank's place there."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import MutableMapping

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu_of(local_rank: int, visible: str | None, num_devices: int) -> str | None:
    """The device for the rank that is the ``local_rank``-th of its machine.

    Parameters
    ----------
    visible : str or None
        What the job or the user has allowed (the value of ``CUDA_VISIBLE_DEVICES``), if anything.
    num_devices : int
        How many the machine has.

    Returns
    -------
    str or None
        A number or identifier; None where there is no device. More ranks than devices share them in turn.

    Examples
    --------
    >>> [gpu_of(rank, None, 2) for rank in range(4)]
    ['0', '1', '0', '1']
    >>> gpu_of(1, "GPU-aa,GPU-bb", 8)
    'GPU-bb'
    """
    allowed = [str(number) for number in range(num_devices)] if visible is None else []
    for device in (visible or "").split(","):
        device = device.strip()
        if device in ("", "-1"):  # CUDA ignores what comes after a number that is none
            break
        allowed.append(device)
    return allowed[local_rank % len(allowed)] if allowed else None


def num_gpus() -> int:
    """How many NVIDIA devices this machine has, without starting CUDA."""
    return sum(1 for path in glob.glob("/dev/nvidia*") if re.fullmatch(r"/dev/nvidia\d+", path))


def take_gpu(local_rank: int, environment: MutableMapping[str, str] = os.environ) -> str:
    """Let this process see only its own GPU, and name it ("" if there is none). Call it before torch is imported."""
    device = gpu_of(local_rank, environment.get(VISIBLE), num_gpus())
    if device is None:
        return ""
    environment[VISIBLE] = device
    return device
