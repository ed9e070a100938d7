"""The roofline: what bounds a kernel, the processor or the memory (Williams, Waterman, Patterson 2009)."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Kernel:
    """A well-known kernel, with the flops and the bytes of memory traffic it needs at least."""

    name: str
    flops: float
    num_bytes: float
    why: str

    @property
    def intensity(self) -> float:
        """Flops per byte."""
        return self.flops / self.num_bytes


MATMUL_SIZE = 1024
KERNELS = (
    Kernel("triad", 2, 24, "a[i] = b[i] + s * c[i]: 2 flops, 3 float64 of traffic an element"),
    Kernel("dot product", 2, 16, "2 flops and 2 float64 read an element"),
    Kernel("Jacobi 5-point", 4, 16, "3 adds and 1 product; one float64 read, one written a point"),
    Kernel(
        f"matrix product n={MATMUL_SIZE}", 2 * MATMUL_SIZE**3, 3 * 8 * MATMUL_SIZE**2,
        "2 n^3 flops on 3 n^2 float64, if each is moved once",
    ),
)


@dataclass(frozen=True, slots=True)
class Roofline:
    """The roofs of a machine.

    Attributes
    ----------
    peak_flops : float
        Float64 flops per second of all cores.
    peak_flops_float32 : float
    bandwidths : tuple of (str, float)
        Bytes per second by level, for example ``(("L1", ...), ("DRAM", ...))``; DRAM is the last.
    """

    peak_flops: float
    peak_flops_float32: float
    bandwidths: tuple[tuple[str, float], ...]

    @property
    def memory_bandwidth(self) -> float:
        """Bytes per second of main memory."""
        return self.bandwidths[-1][1]

    @property
    def ridge_point(self) -> float:
        """The intensity (flops per byte) from which on the processor, not the memory, is the bound."""
        return self.peak_flops / self.memory_bandwidth

    def attainable(self, intensity: float, bandwidth: float | None = None) -> float:
        """Flops per second that a kernel of this intensity can reach at most.

        Examples
        --------
        >>> roof = Roofline(100e9, 200e9, (("DRAM", 20e9),))
        >>> roof.attainable(1.0), roof.attainable(50.0), roof.ridge_point
        (20000000000.0, 100000000000.0, 5.0)
        """
        if not intensity > 0:
            raise UsageError(f"an intensity is a positive number of flops per byte, not {intensity}.")
        return min(self.peak_flops, intensity * (bandwidth or self.memory_bandwidth))
