"""The system calls of a UDP socket for batches of datagrams, with their fallbacks; nothing here waits.

On Linux, runs of datagrams of one size cross the kernel as one piece; where that is missing or refused,
plain calls take its place.

A datagram that cannot be sent, or an ICMP error that comes back, counts as a loss and is no error:
the protocol above has timers for that, and no stranger may be able to break a socket.
"""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EMSGSIZE
from typing import Any, final

import trio

from ._udp_address import Address
from ._udp_fragmentation import MAX_UDP_PAYLOAD, allow_fragments, forbid_fragments
from ._udp_offload import (
    ANCILLARY_SPACE,
    OFFLOAD_MISSING,
    SEGMENT_REFUSED,
    can_segment,
    enable_gro,
    run_end,
    segment_control,
    split,
)

__all__ = ["LONE_TURNS", "DatagramCalls", "UDPStatistics"]

BATCH_CALLS = 64
"""Most system calls for one batch received, so that other tasks get their turn."""
BATCH_BYTES = 64 * 1024
"""A batch ends once this many bytes were received, see `LARGE_DATAGRAM`."""
LARGE_DATAGRAM = 16 * 1024
"""A larger datagram counts as this many bytes: to process it takes hardly longer."""
LONE_TURNS = 3
"""After a datagram behind which there was nothing, so many more are taken for lone, too: a request or
an answer should not wait for a call that finds nothing."""
LONGEST_LONE = 1500
"""A longer datagram is never taken for lone: it is of bulk, and more comes while it is read."""
LONGEST_RECEIVED = 65535


@dataclass(slots=True)
class UDPStatistics:
    """What went through a socket so far."""

    datagrams_sent: int = 0
    datagrams_received: int = 0
    send_calls: int = 0
    """System calls that sent something."""
    receive_calls: int = 0
    """System calls that received something."""
    datagrams_not_sent: int = 0
    """Refused by the operating system and given up."""
    datagrams_ignored: int = 0
    """Received and dropped: empty, or from port 0, to which nobody can answer."""
    errors: int = 0
    """Errors that the operating system reported, such as ICMP's; see ``last_error``."""
    last_error: OSError | None = None


@final
class DatagramCalls:
    """A socket that does not block, by its system calls."""

    def __init__(self, socket: stdlib_socket.socket, *, offload: bool, dont_fragment: bool) -> None:
        self._socket = socket
        # Longest datagram that may be part of a run; 0 where runs cannot be sent.
        self.longest_segment = MAX_UDP_PAYLOAD if offload and can_segment(socket) else 0
        self.coalesced = offload and enable_gro(socket)
        self.never_fragments = dont_fragment and forbid_fragments(socket)
        self._lone = 0
        self.statistics = UDPStatistics()

    def check_open(self) -> None:
        if self._socket.fileno() == -1:
            raise trio.ClosedResourceError("this UDP socket was closed")

    def _count_error(self, error: OSError) -> None:
        self.check_open()
        if error.errno == EMSGSIZE:  # larger than the path is, as probes of its MTU are
            return
        self.statistics.errors += 1
        self.statistics.last_error = error

    # ---- sending

    def send(self, datagrams: Sequence[bytes], start: int, address: Address | None) -> int:
        """Send from index ``start`` until there is no room; return the index where that was.

        Raises `trio.ClosedResourceError` if the socket was closed.
        """
        index = start
        refused_until = start
        try:
            while index < len(datagrams):
                end = index + 1
                if end < len(datagrams):
                    end = run_end(datagrams, index, self.longest_segment)
                if end == index + 1 or index < refused_until:
                    self._send_one(datagrams[index], address)
                    index += 1
                elif self._send_run(datagrams[index:end], address):
                    index = end
                else:
                    refused_until = end
        except BlockingIOError:
            pass
        return index

    def _send_run(self, run: Sequence[bytes], address: Address | None) -> bool:
        """Send a run as one piece; False if the kernel refuses: then each goes on its own."""
        size = len(run[0])
        data, control = b"".join(run), segment_control(size)
        # Twice, as the first error may be about an earlier datagram, such as ICMP says of a probe.
        for is_last in (False, True):
            try:
                self._socket.sendmsg((data,), control, 0, address)
            except BlockingIOError:
                raise
            except OSError as error:
                self._count_error(error)
                if error.errno == EMSGSIZE and not is_last:
                    continue
                if error.errno in OFFLOAD_MISSING:
                    self.longest_segment = 0
                elif error.errno in SEGMENT_REFUSED:
                    self.longest_segment = min(self.longest_segment, size - 1)
                return False
            break
        self.statistics.send_calls += 1
        self.statistics.datagrams_sent += len(run)
        return True

    def _send_one(self, datagram: bytes, address: Address | None) -> None:
        statistics = self.statistics
        # Twice, as the first error may be an earlier datagram's (ICMP) and this one not sent for
        # it.
        for _ in range(2):
            try:
                if address is None:
                    self._socket.send(datagram)
                else:
                    self._socket.sendto(datagram, address)
            except (BlockingIOError, stdlib_socket.gaierror):
                raise
            except OSError as error:
                self._count_error(error)
            else:
                statistics.send_calls += 1
                statistics.datagrams_sent += 1
                return
        statistics.datagrams_not_sent += 1

    def sent_fragmented(self, datagram: bytes, address: Address | None) -> bool:
        if self.never_fragments:
            allow_fragments(self._socket)
        try:
            self._send_one(datagram, address)
        except BlockingIOError:
            return False
        finally:
            if self.never_fragments:
                forbid_fragments(self._socket)
        return True

    # ---- receiving

    def drain(self) -> dict[Any, list[bytes]]:
        """Receive until there is nothing more or a batch is full; by sender, in order of arrival."""
        received: dict[Any, list[bytes]] = {}
        receive = self._socket.recvmsg if self.coalesced else self._receive_one
        statistics = self.statistics
        room = BATCH_BYTES
        for calls in range(BATCH_CALLS):
            try:
                data, ancillary, _, address = receive(LONGEST_RECEIVED, ANCILLARY_SPACE)
            except BlockingIOError:
                was_lone = calls == 1 and room >= BATCH_BYTES - LONGEST_LONE
                self._lone = LONE_TURNS if was_lone else 0
                break
            except OSError as error:
                self._count_error(error)
                continue
            statistics.receive_calls += 1
            if not data or _unanswerable(address):
                statistics.datagrams_ignored += 1
                continue
            run = split(data, ancillary) if ancillary else [data]
            statistics.datagrams_received += len(run)
            if address in received:
                received[address] += run
            else:
                received[address] = run
            room -= min(len(data), LARGE_DATAGRAM * len(run))
            if room <= 0:
                break
            if self._lone and not ancillary and len(data) <= LONGEST_LONE:
                self._lone -= 1
                break
        return received

    def _receive_one(self, size: int, _: int) -> tuple[bytes, list[Any], int, Any]:
        """As ``recvmsg``, which not every system has, where no runs come."""
        data, address = self._socket.recvfrom(size)
        return data, [], 0, address


def _unanswerable(address: Any) -> bool:
    """A sender with port 0 wants no answer (RFC 768), and cannot be sent one."""
    return isinstance(address, tuple) and address[1] == 0
