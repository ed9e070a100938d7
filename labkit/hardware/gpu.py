"""GPUs: how fast they copy and multiply."""

from __future__ import annotations

from dataclasses import dataclass

COPY_BYTES = 2**28
MATMUL_SIZE = 4096


@dataclass(frozen=True, slots=True)
class GpuRates:
    """Bytes per second (device memory, host to device) and flops per second of one GPU."""

    name: str
    copy_bytes_per_s: float
    host_to_device_bytes_per_s: float
    matmul_flops_float32: float
    matmul_flops_bfloat16: float


def measure_gpus() -> tuple[GpuRates, ...]:
    """The rates of each GPU torch can use; () where there is none."""
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(_measure(torch, torch.device("cuda", i)) for i in range(torch.cuda.device_count()))


def _measure(torch, device) -> GpuRates:
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    host = torch.ones(COPY_BYTES // 4).pin_memory()
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(MATMUL_SIZE, MATMUL_SIZE, device=device, dtype=dtype)
        rates[dtype] = 2 * MATMUL_SIZE**3 / _seconds(torch, lambda a=a: a @ a)
    return GpuRates(
        name=torch.cuda.get_device_name(device),
        copy_bytes_per_s=2 * COPY_BYTES / _seconds(torch, lambda: target.copy_(source)),
        host_to_device_bytes_per_s=COPY_BYTES / _seconds(torch, lambda: target.copy_(host)),
        matmul_flops_float32=rates[torch.float32],
        matmul_flops_bfloat16=rates[torch.bfloat16],
    )


def _seconds(torch, call, rounds: int = 10) -> float:
    """The shortest of several calls by the GPU's own clock."""
    best = float("inf")
    for _ in range(rounds + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 1000)
    return best
