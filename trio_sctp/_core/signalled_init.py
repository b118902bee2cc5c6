"""An association without a handshake: made of two INIT chunks that came with the signalling
(draft-hancke-tsvwg-snap).

WebRTC peers exchange descriptions before they exchange packets.  Where each of them carries the INIT
chunk that its end would send, both ends know all that the four-way handshake of RFC 9260 §5.1 tells, and
the association is up as soon as packets can pass: two round trips sooner.  There is no State Cookie then
to show that the peer is where it says; so this is for transports that have shown it, as DTLS does.

A peer's INIT is no more to be trusted for having come this way: it is judged as one from the network is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._wire.chunks import Init
from .._wire.error_causes import ErrorCause
from .._wire.tlv import DecodeError
from .capabilities import Capabilities, offered
from .config import Config
from .errors import LocalProtocolError
from .handshake import LocalSetup, init_fault, init_of, split_unknown

if TYPE_CHECKING:
    from random import Random

__all__ = ["BadInitError", "local_setup", "make_init", "read_init"]

_LEAST_SIZE: Final = 20
"""Bytes of an INIT without parameters (RFC 9260 §3.3.2)."""


class BadInitError(ValueError):
    """No association can come of an INIT chunk that the peer has sent by way of the signalling.

    ``cause`` is what an ABORT would say where it is well-formed.
    """

    def __init__(self, message: str, cause: ErrorCause | None = None) -> None:
        super().__init__(message)
        self.cause = cause


def make_init(config: Config, *, rng: Random) -> bytes:
    """An INIT chunk to be exchanged in signalling, for one association with this configuration.

    It goes with the peer's to `Association.connect_with_inits`.  ``rng`` must be unpredictable, as
    that of an association.
    """
    init = init_of(config, LocalSetup.random(rng)).encode()
    return init[: int.from_bytes(init[2:4])]  # padding belongs to packets


def read_init(chunk: bytes) -> Init:
    """The peer's INIT chunk, as it was signalled.  Raises `BadInitError`."""
    init = _decode(chunk)
    if init.initiate_tag == 0:  # RFC 9260 §3.3.2
        raise BadInitError("the Initiate Tag is 0")
    fault = init_fault(init)
    if fault is not None:
        raise BadInitError(str(fault), fault)
    return init


def _decode(chunk: bytes) -> Init:
    length = int.from_bytes(chunk[2:4])
    if chunk[:1] != bytes((Init.type,)) or not _LEAST_SIZE <= length <= len(chunk) < length + 4:
        raise BadInitError("it is not one INIT chunk")
    try:
        return Init.decode(chunk[1], chunk[4:length])
    except DecodeError as error:
        raise BadInitError(f"the INIT chunk is malformed: {error}") from None


def local_setup(chunk: bytes, config: Config) -> LocalSetup:
    """What an INIT that `make_init` has made says of us.

    Raises `LocalProtocolError` if it is none, or of another configuration: the peer was told.
    """
    try:
        init = read_init(chunk)
    except BadInitError as error:
        raise LocalProtocolError(f"local_init: {error}") from None
    local = LocalSetup(init.initiate_tag, init.initial_tsn)
    capabilities = Capabilities.from_parameters(split_unknown(init.parameters)[0])
    expected = init_of(config, local)
    same = capabilities == offered(config) and (
        (init.a_rwnd, init.outbound_streams, init.inbound_streams)
        == (expected.a_rwnd, expected.outbound_streams, expected.inbound_streams)
    )
    if not same:
        raise LocalProtocolError("local_init: it was made with another configuration")
    return local
