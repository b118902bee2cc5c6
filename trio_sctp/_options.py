"""What functions take by name that open or serve associations: each keyword, its default and its check.

The functions have ``**keywords``, of the types that stand here, and make options of them before they
begin anything.  A server that takes a wrong one would go down much later, and by what a peer does: when
the first one connects, sends or leaves.  What the keywords mean is said where users look first, by
`open_association` and `open_rtc_endpoint`.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from os import PathLike
from typing import Any, Final, TypedDict, TypeVar, cast

from ._arguments import check_capacity, check_type
from ._capture import CaptureTarget, PacketCapture
from ._core.arguments import check_flag, check_integer, check_number
from ._core.config import Config
from ._udp_fragmentation import IPV4_OVERHEAD, MAX_UDP_PAYLOAD
from ._webrtc.certificate import Certificate
from ._webrtc.ice_common import IceConfig

__all__ = [
    "DEFAULT_CONFIG",
    "DEFAULT_SHUTDOWN_TIMEOUT",
    "ENTROPY",
    "AssociationKeywords",
    "AssociationOptions",
    "CommonOptions",
    "RtcKeywords",
    "RtcOptions",
    "takes",
]

DEFAULT_CONFIG: Final = Config()
DEFAULT_MAX_DATAGRAM_SIZE: Final = 1500 - IPV4_OVERHEAD
"""What Ethernet carries.  Stacks there are read DTLS into buffers of fixed size, the smallest (aiortc)
1500 bytes, Chromium 2048: a longer packet reaches SCTP in pieces, each in the place of a later one."""
DEFAULT_SHUTDOWN_TIMEOUT: Final = 30.0
ENTROPY: Final = random.SystemRandom()
_LEAST_DATAGRAM_SIZE: Final = 1200  # DTLS handshakes take as much

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class CommonKeywords(TypedDict, total=False):
    """Of all."""

    data_channels: bool
    plain_messages: bool | None
    shutdown_timeout: float
    capture: CaptureTarget | None
    rng: random.Random | None


class AssociationKeywords(CommonKeywords, total=False):
    """Of those that have nothing by which the peer says what it takes."""

    max_message_size: int | None


class RtcKeywords(CommonKeywords, total=False):
    """Of WebRTC endpoints, where descriptions say that."""

    host: str | Iterable[str] | None
    certificate: Certificate | None
    stun_servers: str | Iterable[str | tuple[str, int]]
    public_hosts: str | Iterable[str]
    ice: IceConfig | None
    snap: bool
    max_peers: int
    max_half_open: int
    max_datagram_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """`CommonKeywords` with their defaults, checked; `TypeError` or `LocalProtocolError` if wrong."""

    config: Config
    data_channels: bool = True
    plain_messages: bool | None = None
    shutdown_timeout: float = DEFAULT_SHUTDOWN_TIMEOUT
    capture: CaptureTarget | None = None
    rng: random.Random | None = None

    def __post_init__(self) -> None:
        check_type("config", self.config, Config)
        if not (self.capture is None or isinstance(self.capture, str | PathLike | PacketCapture)):
            raise TypeError(f"capture is {self.capture!r}: it must be a path or a PacketCapture")
        check_type("rng", self.rng, random.Random, optional=True)
        check_flag("data_channels", self.data_channels)
        if self.plain_messages is not None:
            check_flag("plain_messages", self.plain_messages)
        check_number("shutdown_timeout", self.shutdown_timeout, 0, math.inf)

    @property
    def entropy(self) -> random.Random:
        """Where chance comes from."""
        return ENTROPY if self.rng is None else self.rng


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationOptions(CommonOptions):
    """`AssociationKeywords` with their defaults, checked."""

    max_message_size: int | None = None

    def __post_init__(self) -> None:
        CommonOptions.__post_init__(self)
        if self.max_message_size is not None:
            check_integer("max_message_size", self.max_message_size, 0, 2**64 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RtcOptions(CommonOptions):
    """`RtcKeywords` with their defaults, checked but for names and addresses."""

    lite: bool = False
    host: str | Iterable[str] | None = None
    certificate: Certificate | None = None
    stun_servers: str | Iterable[str | tuple[str, int]] = ()
    public_hosts: str | Iterable[str] = ()
    ice: IceConfig | None = None
    snap: bool = False
    max_peers: int = 10_000
    max_half_open: int = 1000
    max_datagram_size: int = DEFAULT_MAX_DATAGRAM_SIZE

    def __post_init__(self) -> None:
        CommonOptions.__post_init__(self)
        check_type("certificate", self.certificate, Certificate, optional=True)
        check_type("ice", self.ice, IceConfig, optional=True)
        check_capacity("max_peers", self.max_peers)
        check_capacity("max_half_open", self.max_half_open)
        most = MAX_UDP_PAYLOAD
        check_integer("max_datagram_size", self.max_datagram_size, _LEAST_DATAGRAM_SIZE, most)

    def with_peer(self, sctp_port: int, max_message_size: int) -> AssociationOptions:
        """Those of an association with a peer whose description has these."""
        return AssociationOptions(
            config=self.config.replace(remote_port=sctp_port),
            max_message_size=max_message_size,
            **{name: getattr(self, name) for name in CommonKeywords.__annotations__},
        )


def takes(options: type[CommonOptions]) -> Callable[[FunctionT], FunctionT]:
    """A function's ``**keywords`` are these: with these defaults, for `help` and the manual, and no
    others, which the call says in the function's own name.
    """

    def describe(function: FunctionT) -> FunctionT:
        own = inspect.signature(function)
        shown = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        shown += (
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in fields(options)
            if field.name not in own.parameters
        )
        checked: Any = _refuse_others(function, frozenset(each.name for each in shown))
        checked.__signature__ = own.replace(parameters=shown)
        return cast("FunctionT", checked)

    return describe


def _refuse_others(function: Callable[..., Any], known: frozenset[str]) -> Callable[..., Any]:
    """The function, whose call raises for other keywords what Python does without ``**keywords``."""

    def check(keywords: Iterable[str]) -> None:
        for name in keywords:
            if name not in known:
                raise TypeError(
                    f"{function.__name__}() got an unexpected keyword argument {name!r}"
                )

    @wraps(function)
    async def checked_when_awaited(*arguments: Any, **keywords: Any) -> Any:
        check(keywords)
        return await function(*arguments, **keywords)

    @wraps(function)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        check(keywords)
        return function(*arguments, **keywords)

    return checked_when_awaited if inspect.iscoroutinefunction(function) else checked
