"""The ports of EXPOSE (BuildKit, dockerfile2llb/convert_expose.go)."""

from __future__ import annotations

import ipaddress
import re

from buildonce.dockerfile.problems import Fault

_PROTOCOLS = ("tcp", "udp", "sctp")
_NUMBER = re.compile(r"\+?[0-9]+|-0+")


def parse_port(text: str) -> tuple[str, ...]:
    """Return ``[[ip:]host-port:]port[-port][/protocol]`` as ``number/protocol`` for each port.

    Raises `Fault` when the text has another form.
    """
    address, host, container = _split(text)
    ports, _, protocol = container.partition("/")
    if protocol.lower() not in ("", *_PROTOCOLS):
        raise _fault(text, f"it is one of {', '.join(_PROTOCOLS)}, not {protocol}")
    start, end = _range(text, ports)
    _check_address(text, address)
    if host:
        host_start, host_end = _range(text, host)
        if end - start != host_end - host_start and end != start:
            raise _fault(text, "the two ranges differ in length")
    return tuple(f"{number}/{protocol.lower() or 'tcp'}" for number in range(start, end + 1))


def _split(text: str) -> tuple[str, str, str]:
    rest, _, container = text.rpartition(":")
    address, _, host = rest.rpartition(":")
    return address, host, container


def _range(text: str, ports: str) -> tuple[int, int]:
    first, dash, last = ports.partition("-")
    start = _number(text, first)
    end = _number(text, last) if dash and first != last else start
    if end < start:
        raise _fault(text, "the range ends before it begins")
    return start, end


def _number(text: str, number: str) -> int:
    if not _NUMBER.fullmatch(number) or len(number) > 18 or int(number) > 65535:
        raise _fault(text, "a port is a number from 0 to 65535")
    return int(number)


def _check_address(text: str, address: str) -> None:
    if not address:
        return
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        ipaddress.ip_address(bare)
    except ValueError as error:
        raise _fault(text, f"{address} is not an IP address") from error


def _fault(text: str, reason: str) -> Fault:
    return Fault("DF029", f"`{text}` is not a port: {reason}", needle=text)
