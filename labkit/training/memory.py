"""How much memory a rank uses: its live tensors, and its process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory of one rank.

    Attributes
    ----------
    parameters_bytes, gradients_bytes, optimizer_bytes : int
        Of live tensors. ``parameters`` includes the model's buffers.
    buffers_bytes : int
        What the strategy keeps besides: buckets that are not gradients, residuals.
    peak_bytes : int
        On a GPU: the most that was allocated at a time during the run. Else the largest resident set of the process
        during the run, in which Python and torch have their hundreds of megabytes; the sum of the live tensors where
        the system does not tell, and on simulated ranks, which share a process.
    """

    parameters_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    buffers_bytes: int
    peak_bytes: int

    @property
    def tensors_bytes(self) -> int:
        """All live tensors."""
        return self.parameters_bytes + self.gradients_bytes + self.optimizer_bytes + self.buffers_bytes


def tensor_bytes(tensors: Iterable) -> int:
    """Bytes of the memory behind tensors; memory that several share counts once, as far as they use it.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(10)
    >>> tensor_bytes([x, x.view(2, 5), torch.zeros(3, dtype=torch.float64)])
    64
    """
    seen, total = set(), 0
    for tensor in tensors:
        key = tensor.data_ptr(), tensor.numel(), tensor.device
        if key not in seen:
            seen.add(key)
            total += tensor.numel() * tensor.element_size()
    return total


class PeakMeter:
    """The peak of the process, or of its GPU, from now on."""

    def __init__(self, device, *, shares_process: bool = False):
        self.device, self.shares_process = device, shares_process
        if device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        elif not shares_process:
            try:
                Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak resident set starts anew
            except OSError:
                pass

    def peak_bytes(self) -> int | None:
        """None where it is not known."""
        if self.device.type == "cuda":
            import torch

            return torch.cuda.max_memory_allocated(self.device)
        if self.shares_process:
            return None
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
