"""At which address of this machine the nodes of a cluster can reach it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from labkit.errors import UsageError

DOCUMENTATION_HOST = "192.0.2.1"  # reserved, never in use: asks only which way out is the default


def address_for(nodes: Iterable[str] = ()) -> str:
    """The address of this machine on the network that leads to ``nodes``.

    Parameters
    ----------
    nodes : iterable of str
        Names or addresses of some nodes, if they are known.

    Raises
    ------
    UsageError
        This machine has no address but loopback.
    """
    for target in (*nodes, socket.gethostname(), DOCUMENTATION_HOST):
        found = source_address(target)
        if found is not None and not ipaddress.ip_address(found).is_loopback:
            return found
    raise UsageError(
        "This machine has no address at which the nodes could reach it (only loopback). Start the notebook on a "
        "machine of the cluster's network, or name the address: --address IP."
    )


def source_address(target: str) -> str | None:
    """The address that packets to a host would come from; nothing is sent. None if there is no way there."""
    try:
        kind, _, _, _, where = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return probe.getsockname()[0]
    except (OSError, UnicodeError):  # UnicodeError: a part of the name is too long for one
        return None
