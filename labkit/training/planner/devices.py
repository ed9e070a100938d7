"""Devices and machines to plan for; every number has its source."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.comm.network.model import LinkCost, Network
from labkit.errors import UsageError

GIGABYTE = 10**9
GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a core.

    Attributes
    ----------
    name : str
    memory_bytes : int
    operations_per_s : dict of str to float
        Peak by precision, ``"mixed"`` and ``"fp32"``: an addition and a multiplication are two.
    efficiency : float
        What of the peak the products of a transformer reach: an assumption, 0.5 where nobody has measured.
    price_per_hour : float
        USD, on demand; 0 where it is your own.
    source : str
    """

    name: str
    memory_bytes: int
    operations_per_s: dict[str, float]
    efficiency: float = 0.5
    price_per_hour: float = 0.0
    source: str = ""

    def __post_init__(self):
        if not self.memory_bytes > 0 or not 0 < self.efficiency <= 1 or not self.price_per_hour >= 0:
            raise UsageError(
                f"a device has memory, an efficiency from 0 to 1 and a price of 0 or more, not {self.memory_bytes} bytes, "
                f"{self.efficiency} and {self.price_per_hour}."
            )

    def rate(self, precision: str) -> float:
        """Operations a second that are really reached."""
        return self.operations_per_s[precision] * self.efficiency


DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device(
            "V100-32GB", 32 * GIBIBYTE, {"mixed": 125e12, "fp32": 15.7e12}, price_per_hour=31.212 / 8,
            source="NVIDIA V100 data sheet (SXM2); price: AWS p3dn.24xlarge, 8 of them, on demand in us-east-1, 2023.",
        ),
        Device(
            "A100-40GB", 40 * GIBIBYTE, {"mixed": 312e12, "fp32": 19.5e12}, price_per_hour=32.7726 / 8,
            source="NVIDIA A100 data sheet (SXM4); price: AWS p4d.24xlarge, 8 of them, on demand in us-east-1, 2023.",
        ),
        Device(
            "A100-80GB", 80 * GIBIBYTE, {"mixed": 312e12, "fp32": 19.5e12}, price_per_hour=40.9657 / 8,
            source="NVIDIA A100 data sheet (SXM4); price: AWS p4de.24xlarge, 8 of them, on demand in us-east-1, 2023.",
        ),
        Device(
            "H100-80GB", 80 * GIBIBYTE, {"mixed": 989e12, "fp32": 67e12}, price_per_hour=98.32 / 8,
            source="NVIDIA H100 data sheet (SXM5), dense; price: AWS p5.48xlarge, 8 of them, on demand in us-east-1, 2023.",
        ),
        Device(
            "RTX-4090", 24 * GIBIBYTE, {"mixed": 165e12, "fp32": 82.6e12},
            source="NVIDIA Ada architecture paper: dense, 16-bit factors added in 32 bits; your own, so no price.",
        ),
    )
}


def find_device(name: str) -> Device:
    """A device by its name.

    Examples
    --------
    >>> find_device("A100-80GB").memory_bytes // 2**30
    80
    """
    if name not in DEVICES:
        raise UsageError(f"there is no device {name!r}; the known ones are {', '.join(DEVICES)}; or make a Device.")
    return DEVICES[name]


@dataclass(frozen=True, slots=True)
class Machine:
    """Nodes of devices.

    Attributes
    ----------
    device : Device
    num_nodes, devices_per_node : int
    inside : LinkCost
        A message between two devices of a node; each has its own ports.
    between : LinkCost
        A message between nodes.
    ports_per_node : int
        Network ports of a node that its devices share.

    Examples
    --------
    >>> machine = Machine(find_device("A100-80GB"), num_nodes=4)
    >>> machine.num_devices, round(machine.price_per_hour, 1)
    (32, 163.9)
    """

    device: Device
    num_nodes: int = 1
    devices_per_node: int = 8
    inside: LinkCost = LinkCost(4.1e-6, 1 / 240e9)  # NVLink 3, 300 GB/s a direction by its data sheet; 0.8 of it
    between: LinkCost = LinkCost(5e-6, 1 / 24e9)  # HDR InfiniBand, 192 Gb/s (labkit.comm.network.presets)
    ports_per_node: int = 8

    def __post_init__(self):
        for name in ("num_nodes", "devices_per_node", "ports_per_node"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} must be a whole number of at least 1.")

    @property
    def num_devices(self) -> int:
        return self.num_nodes * self.devices_per_node

    @property
    def price_per_hour(self) -> float:
        """USD for all devices."""
        return self.num_devices * self.device.price_per_hour

    def link(self, *, crosses_nodes: bool, num_senders: int = 1) -> LinkCost:
        """What a message costs while ``num_senders`` devices of a node send at once: between nodes they share the ports."""
        if not crosses_nodes:
            return self.inside
        sharing = max(1.0, num_senders / self.ports_per_node)
        return LinkCost(
            self.between.alpha_s, self.between.beta_s_per_byte * sharing, self.between.latency_s, self.between.overhead_s
        )

    def network(self, *, crosses_nodes: bool, num_senders: int = 1) -> Network:
        """The same as a network whose ranks all stand on nodes of their own: what the cost formulas take."""
        return Network("planned", self.link(crosses_nodes=crosses_nodes, num_senders=num_senders), 1e-12)
