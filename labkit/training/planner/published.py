"""Megatron-LM's published runs, recomputed: parameters, operations, PFLOP/s, training days.

References
----------
Narayanan and others: Efficient large-scale language model training on GPU clusters using Megatron-LM, SC 2021
(arXiv 2104.04473), table 1, equations 2 to 4, section 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.training.planner.sizes import TransformerSize

PEAK = 312e12  # operations a second of an A100 in 16 bits
SECONDS_PER_DAY = 86400


@dataclass(frozen=True, slots=True)
class MegatronRow:
    """A row of table 1.

    Attributes
    ----------
    billions : float
        Parameters, as printed.
    size : TransformerSize
    tp, pp, num_gpus, batch_size : int
    tera_per_gpu : float
        TFLOP/s of a GPU, as printed.
    percent_of_peak : int
    peta : float
        PFLOP/s of all, as printed.
    """

    billions: float
    size: TransformerSize
    tp: int
    pp: int
    num_gpus: int
    batch_size: int
    tera_per_gpu: float
    percent_of_peak: int
    peta: float

    @property
    def computed_billions(self) -> float:
        return self.size.num_parameters / 1e9

    @property
    def computed_peta(self) -> float:
        """From the rate of a GPU, which is printed without decimals."""
        return self.tera_per_gpu * self.num_gpus / 1000

    @property
    def computed_percent(self) -> float:
        return 100 * self.tera_per_gpu * 1e12 / PEAK

    @property
    def step_s(self) -> float:
        """The duration of a step: its operations over the printed rate."""
        return self.size.step_operations(self.batch_size) / (self.peta * 1e15)


MEGATRON_TABLE = tuple(
    MegatronRow(billions, TransformerSize(blocks, width, heads), *numbers)
    for billions, heads, width, blocks, *numbers in (
        (1.7, 24, 2304, 24, 1, 1, 32, 512, 137, 44, 4.4),
        (7.5, 32, 4096, 36, 4, 1, 128, 512, 142, 46, 18.2),
        (39.1, 64, 8192, 48, 8, 2, 512, 1536, 138, 44, 70.8),
        (145.6, 96, 12288, 80, 8, 8, 1536, 2304, 148, 47, 227.1),
        (1008.0, 160, 25600, 128, 8, 64, 3072, 3072, 163, 52, 502.0),
    )
)


def training_days(num_training_tokens: float, num_parameters: float, num_gpus: int, operations_per_gpu: float) -> float:
    """About 8 T P / (n X): tokens, parameters, GPUs, operations a second of a GPU; in days.

    Examples
    --------
    GPT-3 on 1024 A100s that reach 140 TFLOP/s:

    >>> round(training_days(300e9, 175e9, 1024, 140e12))
    34
    """
    return 8 * num_training_tokens * num_parameters / (num_gpus * operations_per_gpu) / SECONDS_PER_DAY
