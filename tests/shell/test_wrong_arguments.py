"""What is wrong is said at the call that has it, by the argument's name, and nothing else happens.

Said later, it would end an association or a whole server, by what a peer does: its first packet, its
leaving.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trio_sctp import (
    Association,
    Certificate,
    Config,
    DataChannel,
    IceConfig,
    LocalProtocolError,
    Message,
    PeerPolicy,
    Receipt,
    open_association,
    open_dtls_association,
    open_rtc_endpoint,
    open_udp_association,
    serve_dtls,
    serve_rtc,
    serve_udp,
)
from trio_sctp._options import (
    AssociationKeywords,
    AssociationOptions,
    CommonKeywords,
    RtcKeywords,
    RtcOptions,
)
from trio_sctp.testing import memory_link, open_association_pair

Call = Callable[[Association, DataChannel], object]
CERTIFICATE = Certificate.generate()


async def nobody(association: Association) -> None:
    raise AssertionError("there is no peer")


WRONG_OPEN: list[tuple[str, dict[str, Any]]] = [
    ("label", {"label": 5}),
    ("label", {"label": b"bytes"}),
    ("protocol", {"protocol": None}),
    ("ordered", {"ordered": "no"}),
    ("ordered", {"ordered": None}),
    ("lifetime", {"lifetime": "1"}),
    ("lifetime", {"lifetime": True}),
    ("priority", {"priority": 1.5}),
    ("priority", {"priority": "high"}),
    ("stream_id", {"id": 1.0}),
    ("stream_id", {"id": "7"}),
    ("stream_id", {"id": True}),
]


@pytest.mark.interpreted  # compiled, it is a TypeError
@pytest.mark.parametrize("name, arguments", WRONG_OPEN)
async def test_open_channel(
    name: str, arguments: dict[str, Any], autojump_clock: MockClock
) -> None:
    async with open_association_pair() as (client, server):
        with pytest.raises(LocalProtocolError, match=rf"^{name}\b"):
            client.open_channel(**arguments)
        async with client.open_channel("right") as channel:
            await channel.send("hello")
        assert (await server.listen().accept()).id == 0  # the others have taken no id


@pytest.mark.interpreted
@pytest.mark.parametrize(
    "name, arguments",
    [
        ("ordered", {"ordered": "no"}),
        ("lifetime", {"lifetime": "1"}),
        ("receipt", {"receipt": "receipt"}),
        ("receipt", {"receipt": Receipt}),
    ],
)
async def test_send(name: str, arguments: dict[str, Any], autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server), client.open_channel() as channel:
        with pytest.raises((LocalProtocolError, TypeError), match=rf"^{name}"):
            await channel.send("hello", **arguments)
        assert channel.statistics().messages_sent == 0


@pytest.mark.interpreted
@pytest.mark.parametrize(
    "name, message",
    [
        ("stream_id", Message(1.5, 0, b"x")),  # type: ignore[arg-type]
        ("stream_id", Message("1", 0, b"x")),  # type: ignore[arg-type]
        ("ppid", Message(1, 1.0, b"x")),  # type: ignore[arg-type]
        ("ppid", Message(1, None, b"x")),  # type: ignore[arg-type]
        ("message", b"x"),
        ("message", None),
    ],
)
async def test_plain_messages(name: str, message: Any, autojump_clock: MockClock) -> None:
    """A PPID or a stream that is no integer was found when the packet was made, and ended it all."""
    async with open_association_pair(data_channels=False) as (client, server):
        with pytest.raises((LocalProtocolError, TypeError), match=rf"^{name}"):
            await client.messages.send(message)
        await client.messages.send(Message(1, 0, b"right"))
        assert (await server.messages.receive()).payload == b"right"


@pytest.mark.interpreted
@pytest.mark.parametrize("stream_ids", [[1.5], ["1"], [True], [None]])
async def test_streams_to_be_reset(stream_ids: Any, autojump_clock: MockClock) -> None:
    async with open_association_pair(data_channels=False) as (client, server):
        for reset in (client.reset_streams, client.request_incoming_reset):
            with pytest.raises(LocalProtocolError, match="stream_ids"):
                reset(stream_ids)
        await client.messages.send(Message(1, 0, b"right"))
        assert (await server.messages.receive()).payload == b"right"


async def test_all_streams_cannot_be_reset_under_data_channels(autojump_clock: MockClock) -> None:
    """No stream named means all of them: every channel was closed at both ends."""
    async with open_association_pair() as (client, server):
        async with client.open_channel() as channel:
            await channel.send("hello")
            for reset in (client.reset_streams, client.request_incoming_reset):
                with pytest.raises(LocalProtocolError, match="stream_ids"):
                    reset([])
            await trio.sleep(1)
            theirs = await server.listen().accept()
            await theirs.send("still here")
            assert await channel.receive() == "still here"
        await channel.wait_closed()
        client.reset_streams([])


@pytest.mark.parametrize("reason", [None, 5, b"bytes"])
async def test_abort(reason: Any, autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server):
        with pytest.raises(TypeError, match=r"^reason"):
            client.abort(reason)
        assert client.statistics().state == "ESTABLISHED"


@pytest.mark.parametrize(
    "name, marks",
    [
        ("high", {"high": "1"}),
        ("high", {"high": None}),
        ("high", {"high": math.inf}),
        ("high", {"high": 0}),
        ("low", {"high": 10, "low": "1"}),
        ("low", {"high": 10, "low": -1}),
        ("low", {"high": 10, "low": 10}),
    ],
)
async def test_water_marks(name: str, marks: Any, autojump_clock: MockClock) -> None:
    async with open_association_pair() as (client, _server), client.open_channel() as channel:
        with pytest.raises(LocalProtocolError, match=f"^{name} is"):
            channel.set_water_marks(**marks)


COMMON: list[tuple[str, dict[str, Any]]] = [
    ("config", {"config": None}),
    ("config", {"config": {"rto_min": 1}}),
    ("shutdown_timeout", {"shutdown_timeout": None}),
    ("shutdown_timeout", {"shutdown_timeout": -1}),
    ("shutdown_timeout", {"shutdown_timeout": math.nan}),
    ("shutdown_timeout", {"shutdown_timeout": "30"}),
    ("data_channels", {"data_channels": "no"}),
    ("plain_messages", {"plain_messages": 1}),
    ("capture", {"capture": 5}),
    ("rng", {"rng": 7}),
]
SIZES: list[tuple[str, dict[str, Any]]] = [
    ("max_message_size", {"max_message_size": -1}),
    ("max_message_size", {"max_message_size": 1.5}),
    ("max_message_size", {"max_message_size": "1"}),
]


@pytest.mark.parametrize("name, arguments", COMMON + SIZES)
async def test_opening_an_association(name: str, arguments: dict[str, Any]) -> None:
    end, _ = memory_link()
    with pytest.raises((LocalProtocolError, TypeError), match=f"^{name} is"):
        open_association(end, client=True, **arguments)
    with pytest.raises((LocalProtocolError, TypeError), match=f"^{name} is"):
        async with open_udp_association("127.0.0.1", 9, **arguments):
            raise AssertionError
    with pytest.raises((LocalProtocolError, TypeError), match=f"^{name} is"):
        async with open_dtls_association(
            "127.0.0.1", 9, verify_peer=PeerPolicy.anyone(), **arguments
        ):
            raise AssertionError


OF_RTC = (open_rtc_endpoint, serve_rtc)
OPENING = (open_association, open_udp_association, open_dtls_association, open_rtc_endpoint)
SERVING = (serve_udp, serve_dtls, serve_rtc)


@pytest.mark.parametrize("function", [*OPENING, *SERVING])
async def test_unknown_keywords(function: Any) -> None:
    """They are refused in the name of the function, before anything is entered or bound; those of
    WebRTC take no ``max_message_size``: the peer's description has it.
    """
    unknown = {"shutdown_timout"} | ({"max_message_size"} if function in OF_RTC else {"snap"})
    for name in unknown:
        refused = rf"^{function.__name__}\(\) got an unexpected keyword argument '{name}'$"
        with pytest.raises(TypeError, match=refused):
            await called_rightly(function, **{name: 5})


async def called_rightly(function: Any, **more: Any) -> None:
    """With all that it needs, and more; what is a context manager is not entered."""
    dtls: dict[str, Any] = {"verify_peer": PeerPolicy.anyone()}
    calls: dict[Any, tuple[tuple[Any, ...], dict[str, Any]]] = {
        open_association: ((memory_link()[0],), {"client": True}),
        open_udp_association: (("127.0.0.1", 9), {}),
        open_dtls_association: (("127.0.0.1", 9), dtls),
        open_rtc_endpoint: ((), {}),
        serve_udp: ((nobody, 0), {}),
        serve_dtls: ((nobody, 0), {"certificate": CERTIFICATE, **dtls}),
        serve_rtc: ((nobody, 0), {}),
    }
    arguments, keywords = calls[function]
    result = function(*arguments, **keywords, **more)
    if function in SERVING:
        await result


@pytest.mark.parametrize("function", [*OPENING, *SERVING])
def test_the_signature_has_all_keywords(function: Any) -> None:
    """As `help` and editors show them."""
    keywords = RtcKeywords if function in OF_RTC else AssociationKeywords
    parameters = inspect.signature(function).parameters
    assert parameters.keys() >= {
        "config",
        *CommonKeywords.__annotations__,
        *keywords.__annotations__,
    }
    assert all(each.kind is not each.VAR_KEYWORD for each in parameters.values())
    assert inspect.iscoroutinefunction(function) == (function in SERVING)


@pytest.mark.parametrize(
    "options, keywords", [(AssociationOptions, AssociationKeywords), (RtcOptions, RtcKeywords)]
)
def test_all_options_are_keywords_that_type_checkers_know(options: Any, keywords: Any) -> None:
    named_by_each_function = {"config", "lite"}
    names = {field.name for field in fields(options)} - named_by_each_function
    assert names == set(keywords.__annotations__)


class Exhausted(random.Random):
    """Nothing to be had of it."""

    def getrandbits(self, k: int, /) -> int:
        raise OSError("no entropy")

    def random(self) -> float:
        raise OSError("no entropy")


async def test_what_fails_at_the_first_packet_leaves_no_task_behind(
    autojump_clock: MockClock,
) -> None:
    """trio's nurseries were taken apart by it."""
    with trio.fail_after(5):
        end, _ = memory_link()
        with pytest.raises(OSError, match="no entropy"):
            async with open_association(end, client=True, rng=Exhausted(1)):
                raise AssertionError
        with pytest.raises(trio.ClosedResourceError):
            await end.send(b"the association has owned it")
        async with open_association_pair(delay=0.01) as (client, _server):
            assert client.open_channel().id == 0


@pytest.mark.parametrize("handler", [None, "echo", 5])
async def test_handlers(handler: Any) -> None:
    """The server would have gone down with the first peer."""
    dtls = partial(serve_dtls, certificate=CERTIFICATE, verify_peer=PeerPolicy.anyone())
    for serve in (serve_udp, dtls, serve_rtc):
        with pytest.raises(TypeError, match=r"^handler is"):
            await serve(handler, 0)


async def test_a_handler_of_one_peer() -> None:
    wrong: Any = "echo"
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_rtc, nobody, 0, host="127.0.0.1"))
        async with open_rtc_endpoint(host="127.0.0.1") as endpoint:
            calling = await endpoint.offer()
            with pytest.raises(TypeError, match=r"^handler is"):
                await server.answer(calling.local_description, handler=wrong)
            with pytest.raises(TypeError, match=r"^handler is"):
                await server.offer(handler=wrong)
            with pytest.raises(TypeError, match=r"^candidate is"):
                calling.add_candidate({"candidate": ""})  # type: ignore[arg-type]
            await calling.aclose()
        assert server.statistics().peers == 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("port", [None, "9", 1.5, -1, 65536, True])
async def test_ports(port: Any) -> None:
    dtls = partial(serve_dtls, certificate=CERTIFICATE, verify_peer=PeerPolicy.anyone())
    for serve in (serve_udp, dtls, serve_rtc):
        with pytest.raises(LocalProtocolError, match=r"^port is"):
            await serve(nobody, port)
    with pytest.raises(LocalProtocolError, match=r"^port is"):
        async with open_udp_association("127.0.0.1", port):
            raise AssertionError


@pytest.mark.parametrize(
    "name, arguments",
    [*COMMON, *SIZES, ("max_associations", {"max_associations": 0})],
)
async def test_serving_udp_and_dtls(name: str, arguments: dict[str, Any]) -> None:
    """The server would have gone down with the first peer that comes or leaves."""
    dtls = partial(serve_dtls, certificate=CERTIFICATE, verify_peer=PeerPolicy.anyone())
    for serve in (serve_udp, dtls):
        with pytest.raises((LocalProtocolError, TypeError), match=f"^{name} is"):
            await serve(nobody, 0, **arguments)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("certificate", {"certificate": None}),
        ("certificate", {"certificate": "PEM"}),
        ("verify_peer", {"verify_peer": None}),
        ("max_half_open", {"max_half_open": 0}),
    ],
)
async def test_serving_dtls(name: str, arguments: dict[str, Any]) -> None:
    right: dict[str, Any] = {"certificate": CERTIFICATE, "verify_peer": PeerPolicy.anyone()}
    with pytest.raises((LocalProtocolError, TypeError), match=f"^{name} is"):
        await serve_dtls(nobody, 0, **(right | arguments))


@pytest.mark.parametrize(
    "name, arguments",
    [
        *COMMON,
        ("max_peers", {"max_peers": 0}),
        ("max_half_open", {"max_half_open": -1}),
        ("max_datagram_size", {"max_datagram_size": 1199}),
        ("max_datagram_size", {"max_datagram_size": "1200"}),
        ("public_hosts", {"public_hosts": ["www.example.org"]}),
        ("public_hosts", {"public_hosts": ["192.0.2.1\r\na=x"]}),
        ("public_hosts", {"public_hosts": ["fe80::1%eth0"]}),
        ("certificate", {"certificate": "a.pem"}),
        ("ice", {"ice": 5}),
        ("the port of STUN server 192.0.2.1", {"stun_servers": [("192.0.2.1", 70000)]}),
    ],
)
async def test_a_webrtc_endpoint(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises((LocalProtocolError, TypeError), match=rf"^{name}"):
        async with open_rtc_endpoint(**arguments):
            raise AssertionError


async def test_a_single_public_host_or_stun_server_stands_for_itself() -> None:
    """As ``host`` does: its letters were taken for addresses, and announced."""
    async with open_rtc_endpoint(host="127.0.0.1", lite=True, public_hosts="192.0.2.1") as endpoint:
        peer = await endpoint.offer()
        announced = [line for line in peer.local_description.split() if "." in line]
        assert announced.count("192.0.2.1") == 1, announced
        assert "127.0.0.1" not in "".join(announced[1:]), announced
        await peer.aclose()
    async with open_rtc_endpoint(host="127.0.0.1", stun_servers="stun:127.0.0.1:3478"):
        pass


@pytest.mark.parametrize("description", [None, b"v=0", ["v=0"]])
async def test_descriptions_are_text(description: Any) -> None:
    """What came of JSON may be anything."""
    async with open_rtc_endpoint(host="127.0.0.1") as endpoint:
        with pytest.raises(TypeError, match=r"^offer is"):
            await endpoint.answer(description)
        peer = await endpoint.offer()
        for take in peer.accept_answer, peer.renegotiate:
            with pytest.raises(TypeError, match=r"^description is"):
                take(description)
        await peer.aclose()


async def test_the_role_in_dtls() -> None:
    async with (
        open_rtc_endpoint(host="127.0.0.1") as caller,
        open_rtc_endpoint(host="127.0.0.1") as called,
    ):
        offering = await caller.offer()
        with pytest.raises(ValueError, match=r"^dtls_role is 'active'"):
            await called.answer(offering.local_description, dtls_role="active")  # type: ignore[arg-type]
        await offering.aclose()


@pytest.mark.parametrize(
    "name, value",
    [
        ("pace", 0),
        ("pace", math.nan),
        ("initial_rto", -1),
        ("max_transmissions", 0),
        ("max_transmissions", 1.5),
        ("consent_interval", "5"),
        ("nomination_delay", -0.1),
        ("connect_timeout", None),
    ],
)
def test_times_of_ice(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is"):
        IceConfig(**{name: value})


async def test_a_capture_that_cannot_be_made_leaves_no_dtls_behind(tmp_path: Path) -> None:
    """The server is told at once that nothing comes of it, and the socket is closed."""
    serve = partial(serve_dtls, certificate=CERTIFICATE, verify_peer=PeerPolicy.anyone())
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, nobody, 0)
        with pytest.raises(FileNotFoundError):
            async with open_dtls_association(
                "127.0.0.1",
                server.port,
                verify_peer=PeerPolicy.anyone(),
                capture=tmp_path / "missing" / "x.pcap",
            ):
                raise AssertionError
        with trio.fail_after(10):
            while server.statistics().associations:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


def test_a_configuration_says_what_it_lacks() -> None:
    with pytest.raises(LocalProtocolError, match=r"^rto_min is '1'"):
        Config(rto_min="1")  # type: ignore[arg-type]
