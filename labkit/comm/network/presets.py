"""Known networks, each with the source of its numbers, and networks written as text.

A preset is what one MPI message sees between two hosts: ``alpha`` is the one-way latency of a small
message, ``1 / beta`` the bandwidth of a large one. They are starting points for thought; the numbers
of your own machine come from :func:`labkit.mpi.fit.local_network`.
"""

from __future__ import annotations

import re

from labkit.comm.network.model import LinkCost, Network, alpha_beta, loggp
from labkit.comm.network.topologies import Crossbar, FatTree, Ring, Torus
from labkit.errors import UsageError

GAMMA_S_PER_BYTE = 0.1e-9  # one core adds about 10 GB/s of float64: an assumption, fit your own

PRESETS: dict[str, Network] = {
    network.name: network
    for network in (
        alpha_beta(
            0.3e-6, 1 / 8e9, GAMMA_S_PER_BYTE, name="shared-memory", eager_limit_bytes=65536,
            source="ping-pong of MPICH 5.0.2 between two cores of one machine, by labkit; rounded. "
            "'--network local' measures yours.",
        ),
        alpha_beta(
            22.5e-6, 1 / 1.17e9, GAMMA_S_PER_BYTE, name="ethernet-10g", eager_limit_bytes=65536,
            source="latency: OSU 4.3 with Open MPI over TCP through a 10G switch (Open MPI devel list, 2014/03/14403); "
            "bandwidth: tuned osu_bw, 9390 Mb/s (Open MPI users list, 2014/04/24241); line 1.25 GB/s (IEEE 802.3ae); "
            "eager limit: Open MPI btl/tcp.",
        ),
        loggp(
            1.6e-6, 0.15e-6, 0.0, 1.0e-10, GAMMA_S_PER_BYTE, name="ethernet-100g", eager_limit_bytes=4096,
            source="LogGP parameters 'Oracle HPC' (100 Gb/s RoCE) of De Sensi et al., Noise in the Clouds, 2022 "
            "(arXiv 2210.15315), from the paper's published parameter file, without its g; line 12.5 GB/s (IEEE 802.3ba).",
        ),
        alpha_beta(
            1.2e-6, 1 / 24e9, GAMMA_S_PER_BYTE, name="infiniband-hdr", eager_limit_bytes=4096,
            source="1.2 us and 192 Gb/s: performance page of Azure HBv3 (HDR 200 Gb/s); line 25 GB/s (IBTA).",
        ),
        alpha_beta(
            1.2e-6, 1 / 49.5e9, GAMMA_S_PER_BYTE, name="infiniband-ndr", eager_limit_bytes=4096,
            source="396 Gb/s by ib_send_bw on ConnectX-7 (nccl-tests issue 309); latency assumed equal to HDR "
            "(the only published bound found is < 2 us); line 50 GB/s (IBTA).",
        ),
        alpha_beta(
            1.2e-6, 1 / 49.5e9, 1e-12, name="nvlink+infiniband", eager_limit_bytes=4096,
            ranks_per_node=8, inside=LinkCost(4.1e-6, 1 / 370e9),
            source="8 GPUs a node. Inside: 370 GB/s a direction of NVLink 4 (nccl-tests issue 212), latency 4.1 us "
            "(NCCL's own ring model, tuning.cc: 3.6 + 0.47 us). Between nodes: infiniband-ndr, one port a node. "
            "gamma: 1 TB/s, an assumption.",
        ),
    )
}

_TOPOLOGIES = {"crossbar": Crossbar, "ring": Ring, "torus": Torus, "fat-tree": FatTree}


def find_network(text: str) -> Network:
    """The network that ``text`` describes.

    A preset's name, or any values, or a name and values that differ from it, with commas between:
    ``alpha``, ``latency``, ``overhead``, ``gap``, ``hop`` in s; ``beta`` in s per byte or
    ``bandwidth`` in bytes per s; ``gamma`` in s per byte; ``eager`` in bytes; ``topology``
    ``crossbar``, ``ring``, ``torus(ROWSxCOLUMNS)`` or ``fat-tree(NODES_PER_LEAF,OVERSUBSCRIPTION)``;
    ``node`` ranks per node, then with ``inside-alpha`` and ``inside-beta``.

    Raises
    ------
    UsageError
        Unknown name or value.

    Examples
    --------
    >>> str(find_network("ethernet-10g"))
    'ethernet-10g, alpha 22.5 us, beta 0.855 ns/B'
    >>> str(find_network("alpha=1e-6,beta=1e-9,topology=torus(4x4)"))
    'alpha-beta, alpha 1 us, beta 1 ns/B, torus(4x4)'
    """
    if not isinstance(text, str):
        raise UsageError(f"a network is written as text, for example 'ethernet-10g,alpha=1e-6', not {text!r}.")
    parts = _parts(text)
    network = None
    if parts and "=" not in parts[0]:
        network = PRESETS.get(parts[0])
        if network is None:
            raise UsageError(
                f"there is no network {parts[0]!r}; the known ones are {', '.join(PRESETS)}; or write values, for "
                f"example alpha=1e-6,bandwidth=1e9."
            )
        parts = parts[1:]
    return changed_network(network or alpha_beta(1e-6, 1e-9, GAMMA_S_PER_BYTE), ",".join(parts))


def changed_network(network: Network, text: str) -> Network:
    """A network with other values, written as for :func:`find_network` without a name."""
    values = {}
    for part in _parts(text):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or key not in _KEYS:
            raise UsageError(f"--network {text}: {part!r} is none of {', '.join(f'{k}=' for k in _KEYS)}.")
        if key in values or {key, *values} >= {"beta", "bandwidth"}:
            twice = f"{key} is given twice" if key in values else "beta and bandwidth are the same thing"
            raise UsageError(f"--network {text}: {twice}; give one of them.")
        values[key] = _topology(value, text) if key == "topology" else _number(key, value, text)
    return _changed(network, values)


def _parts(text: str) -> list[str]:
    """What stands between commas, but for those inside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


_LINK_KEYS = {"alpha": "alpha_s", "beta": "beta_s_per_byte", "latency": "latency_s", "overhead": "overhead_s", "gap": "gap_s"}
_NETWORK_KEYS = {
    "gamma": "gamma_s_per_byte", "eager": "eager_limit_bytes", "hop": "hop_s", "topology": "topology", "node": "ranks_per_node",
}
_KEYS = (*_LINK_KEYS, "bandwidth", *_NETWORK_KEYS, "inside-alpha", "inside-beta")


def _changed(network: Network, values: dict) -> Network:
    if "bandwidth" in values:
        if not values["bandwidth"] > 0:
            raise UsageError(f"bandwidth={values['bandwidth']}: a bandwidth is positive, in bytes per s.")
        values["beta"] = 1 / values.pop("bandwidth")
    cost = LinkCost(
        **{field: values.get(key, getattr(network.cost, field)) for key, field in _LINK_KEYS.items()}
    )
    inside = network.inside
    if values.get("node", 1) > 1 or "inside-alpha" in values or "inside-beta" in values:
        base = network.inside or PRESETS["shared-memory"].cost
        inside = LinkCost(
            values.get("inside-alpha", base.alpha_s), values.get("inside-beta", base.beta_s_per_byte),
            base.latency_s, base.overhead_s, base.gap_s,
        )
    changes = {field: values[key] for key, field in _NETWORK_KEYS.items() if key in values}
    if inside is not network.inside and values.get("node", network.ranks_per_node) == 1:
        raise UsageError(
            "inside-alpha and inside-beta are costs inside a node of several ranks: add node=, for example node=4."
        )
    return network.with_(cost=cost, inside=inside, **changes)


def _number(key: str, value: str, text: str) -> float:
    try:
        return int(value) if key == "node" else float(value)
    except ValueError:
        unit = {"node": "a whole number of ranks", "eager": "bytes", "bandwidth": "bytes per s, for example 1e9"}.get(
            key, "s per byte, for example 1e-9" if key in ("beta", "gamma", "inside-beta") else "s, for example 1e-6"
        )
        raise UsageError(f"--network {text}: {key}={value} is not a number; write {unit}.") from None


def _topology(value: str, text: str):
    found = re.fullmatch(r"([a-z-]+)(?:\(([^)]*)\))?", value)
    if not found or found[1] not in _TOPOLOGIES:
        raise UsageError(f"--network {text}: topology={value} is none of {', '.join(_TOPOLOGIES)}.")
    words = [word.strip() for word in re.split(r"[x,]", found[2])] if found[2] else []
    kinds = (int, float) if found[1] == "fat-tree" else (int, int)
    try:
        arguments = [kind(word) if word else None for word, kind in zip(words, kinds, strict=False)] + words[len(kinds) :]
        return _TOPOLOGIES[found[1]](*arguments)
    except (TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"--network {text}: {value} has wrong sizes; write torus(4x8) or fat-tree(16,4).") from None
