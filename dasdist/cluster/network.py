"""Which address a cluster listens on, and how to see its dashboard from another machine.

A scheduler listens on one address: that of the interface that is named, else the one from which
packets to the nodes leave.  Loopback reaches no other machine and must be named.  Dashboards
listen on 127.0.0.1; one sees them through an SSH tunnel.
"""

import getpass
import socket
from collections.abc import Iterable
from contextlib import suppress

from dasdist.errors import InvalidInput

__all__ = ["address_of", "address_towards", "listening_address", "tunnel"]

LOOPBACK = "127.0.0.1"

_ELSEWHERE = "192.0.2.1"  # of RFC 5737: documentation, so the default route leads there

_PORT = 9  # any: nothing is sent


def address_of(interface: str) -> str:
    """Return the IPv4 address of an interface of this machine.

    Raises
    ------
    InvalidInput
        If there is no such interface, or it has no IPv4 address.

    Examples
    --------
    >>> address_of("lo")
    '127.0.0.1'
    """
    addresses = _interfaces()
    if interface not in addresses:
        there = ", ".join(f"{name} ({address})" for name, address in addresses.items())
        raise InvalidInput(
            f"This machine has no interface {interface} with an IPv4 address; it has {there}. Name "
            "one of these with interface= (--interface)."
        )
    return addresses[interface]


def address_towards(host: str) -> str:
    """Return this machine's address for packets to a host; nothing is sent.

    Raises
    ------
    OSError
        If the host has no address, or nothing leads there.

    Examples
    --------
    >>> address_towards("127.0.0.1")
    '127.0.0.1'
    """
    found = socket.getaddrinfo(host, _PORT, socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(found[0][4])
        return str(probe.getsockname()[0])


def listening_address(interface: str | None = None, hosts: Iterable[str] = ()) -> str:
    """Return the address on which a scheduler listens for workers on other machines.

    Parameters
    ----------
    interface : str, optional
        The interface to use; ``lo`` works where all nodes are this machine.
    hosts : iterable of str, optional
        Names or addresses of nodes: the first to which a way leads that is not loopback decides.
        Without any way, the default route does.

    Raises
    ------
    InvalidInput
        If no interface is named, and none but loopback leads there.
    """
    if interface is not None:
        return address_of(interface)
    ways = []
    for host in hosts:
        with suppress(OSError):
            ways.append(address_towards(host))
    if not ways:
        with suppress(OSError):
            ways.append(address_towards(_ELSEWHERE))
    for address in ways:
        if not address.startswith("127."):  # as that of a node that is this machine
            return address
    there = ", ".join(f"{name} ({address})" for name, address in _interfaces().items())
    raise InvalidInput(
        "No interface but loopback leads to the nodes, and workers on other machines cannot reach "
        f"a scheduler there. This machine has {there}; name one with interface= (--interface)."
    )


def tunnel(port: int, host: str | None = None, here: int = 8787) -> str:
    """Return the ssh command that makes a host's dashboard visible on one's own machine.

    Parameters
    ----------
    port : int
        The dashboard's port.
    host : str, optional
        Where it runs; by default this machine.
    here : int
        The port on one's own machine.

    Examples
    --------
    >>> tunnel(41234, "login1.example").replace(getpass.getuser(), "ana")
    'ssh -N -L 8787:127.0.0.1:41234 ana@login1.example'
    """
    return f"ssh -N -L {here}:{LOOPBACK}:{port} {getpass.getuser()}@{host or socket.getfqdn()}"


def _interfaces() -> dict[str, str]:
    """Return the IPv4 address of every interface that has one."""
    import psutil

    return {
        name: address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET
    }
