"""At which address the nodes of a cluster reach this machine."""

import ipaddress
import socket

import pytest

from labkit.cluster.address import address_for, source_address
from labkit.errors import UsageError


@pytest.fixture
def ways(monkeypatch):
    """Where packets to each host would come from; others have no way."""
    found = {}
    monkeypatch.setattr("labkit.cluster.address.source_address", found.get)
    monkeypatch.setattr(socket, "gethostname", lambda: "login")
    return found


def test_the_way_to_the_first_node_that_has_one_counts(ways):
    ways |= {"n2": "10.1.0.1", "n3": "10.2.0.1", "login": "192.168.0.1"}
    assert address_for(["n1", "n2", "n3"]) == "10.1.0.1"
    assert address_for(host for host in ("n3",)) == "10.2.0.1"
    assert address_for() == "192.168.0.1"


def test_loopback_is_passed_over(ways):
    ways |= {"n1": "127.0.0.1", "login": "127.0.1.1", "192.0.2.1": "10.9.0.1"}  # Debian's /etc/hosts has 127.0.1.1
    assert address_for(["n1"]) == "10.9.0.1"
    ways["192.0.2.1"] = "::1"
    with pytest.raises(UsageError, match="only loopback.*--address IP"):
        address_for(["n1"])


def test_without_a_network_it_is_one_sentence(ways):
    with pytest.raises(UsageError, match="no address at which the nodes could reach it"):
        address_for(["n1"])


def test_names_that_lead_nowhere_and_those_that_do():
    assert source_address("no-such-host.invalid") is None
    assert source_address("") is None or ipaddress.ip_address(source_address(""))
    assert source_address("x" * 300) is None  # longer than a name can be
    assert source_address("127.0.0.1") == "127.0.0.1"
