from __future__ import annotations

import base64
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from trio_sctp._webrtc.certificate import Fingerprint
from trio_sctp._webrtc.ice_candidate import Candidate, IceCredentials
from trio_sctp._webrtc.sdp_common import SdpType, Setup
from trio_sctp._webrtc.sdp_lines import SdpError
from trio_sctp._webrtc.sdp_local import LocalDescription, answer_setup
from trio_sctp._webrtc.sdp_remote import RemoteDescription

PRINT = ":".join(f"{n:02X}" for n in range(32))

CHROMIUM = f"""v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=extmap-allow-mixed
a=msid-semantic: WMS
m=application 52351 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 203.0.113.7
a=candidate:1967384923 1 udp 2113937151 9f2bd3e5-d2ac-4b6f-8b29-5d1c8b0f6bcd.local 52351 typ host \
generation 0 network-cost 999
a=candidate:842163049 1 udp 1677729535 203.0.113.7 52351 typ srflx raddr 0.0.0.0 rport 0 \
generation 0 network-cost 999
a=ice-ufrag:EsAw
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y
a=ice-options:trickle
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
"""

FIREFOX = f"""v=0
o=mozilla...THIS_IS_SDPARTA-99.0 4668193204914283157 0 IN IP4 0.0.0.0
s=-
t=0 0
a=sendrecv
a=fingerprint:sha-256 {PRINT}
a=group:BUNDLE 0
a=ice-options:trickle
a=msid-semantic:WMS *
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:0 1 UDP 2122252543 192.0.2.3 47293 typ host
a=candidate:1 1 TCP 2105524479 192.0.2.3 9 typ host tcptype active
a=candidate:2 1 UDP 2122252543 2001:db8::3 47294 typ host
a=sendrecv
a=end-of-candidates
a=ice-pwd:a3bc6ef0aaa6ed4a6c1e3b7f2a9f8c11
a=ice-ufrag:8d2a9f3c
a=mid:0
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
"""

# Microphone and camera first, data in the middle; the sections are bundled.
WITH_MEDIA = f"""v=0
o=- 7 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE audio data video
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:AUFR
a=ice-pwd:audioaudioaudioaudioaudi
a=ice-options:trickle
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
a=mid:audio
a=rtpmap:111 opus/48000/2
a=x-secret:do-not-echo
m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=bundle-only
a=mid:data
a=sctp-port:5001
m=video 0 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=bundle-only
a=mid:video
"""

# An answer of pion's: no max-message-size, fingerprint in the session part
PION_ANSWER = f"""v=0
o=- 5228595038118931041 1700000000 IN IP4 0.0.0.0
s=-
t=0 0
a=msid-semantic:WMS*
a=fingerprint:sha-256 {PRINT}
a=group:BUNDLE 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=setup:active
a=mid:0
a=sendrecv
a=sctp-port:5000
a=ice-ufrag:kkVPOobHsNfDLSwH
a=ice-pwd:LyBDmIUMGzGhPWvPzGbLyUsVnZVkpsRr
a=candidate:2130706431 1 udp 2130706431 192.0.2.77 38571 typ host
a=end-of-candidates
"""

ME = LocalDescription(
    session_id=123,
    credentials=IceCredentials("myufrag8", "mypassword-mypassword-24"),
    fingerprints=(Fingerprint("sha-256", bytes(range(32))),),
    candidates=(Candidate.make("host", ("192.0.2.1", 5000), base=("192.0.2.1", 5000)),),
    ice_lite=True,
)


def without(text: str, name: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.startswith(f"a={name}"))


def replaced(text: str, name: str, value: str) -> str:
    return without(text, name).rstrip() + f"\na={name}:{value}\n"


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_chromiums_offer(newline: str) -> None:
    offer = RemoteDescription.parse(CHROMIUM.replace("\n", newline), "offer")
    assert offer.credentials == ("EsAw", "bP+XJMM09aR8AiX1jdukzR6Y")
    assert offer.fingerprints == (Fingerprint("sha-256", bytes(range(32))),)
    assert offer.setup is Setup.ACTPASS
    assert offer.trickle
    assert not offer.ice_lite
    assert (offer.sctp_port, offer.max_message_size) == (5000, 262144)
    assert (offer.mid, offer.bundled, offer.index) == ("0", True, 0)
    assert [c.kind for c in offer.candidates] == ["host", "srflx"]
    assert not offer.candidates[0].checkable  # a name that mDNS would have to find
    assert offer.candidates[1].address == ("203.0.113.7", 52351)
    assert not offer.end_of_candidates
    assert offer.tls_id is None
    assert offer.sctp_init is None


def test_firefoxs_offer() -> None:
    offer = RemoteDescription.parse(FIREFOX, SdpType.OFFER)
    assert offer.credentials.ufrag == "8d2a9f3c"
    assert len(offer.fingerprints) == 1  # from the session part
    assert offer.trickle
    assert offer.max_message_size == 1073741823
    assert [c.checkable for c in offer.candidates] == [True, False, True]
    assert offer.end_of_candidates


def test_pions_answer() -> None:
    answer = RemoteDescription.parse(PION_ANSWER, "answer")
    assert answer.setup is Setup.ACTIVE
    assert answer.max_message_size == 65536  # RFC 8841 §6.1
    assert not answer.trickle


def test_transport_of_a_bundle_only_section_is_the_bundles() -> None:
    offer = RemoteDescription.parse(WITH_MEDIA, "offer")
    assert offer.index == 1
    assert offer.mid == "data"
    assert offer.credentials.ufrag == "AUFR"
    assert offer.setup is Setup.ACTPASS
    assert offer.sctp_port == 5001


def test_own_attributes_go_before_the_sessions() -> None:
    other = "a=fingerprint:sha-256 " + PRINT.replace("00", "FF")
    text = FIREFOX.replace("a=mid:0", "a=mid:0\n" + other)
    offer = RemoteDescription.parse(text, "offer")
    assert [f.digest[0] for f in offer.fingerprints] == [0xFF]


def test_weak_fingerprints_are_kept_beside_a_strong_one() -> None:
    text = CHROMIUM + "a=fingerprint:sha-1 " + ":".join(["AA"] * 20) + "\n"
    offer = RemoteDescription.parse(text, "offer")
    assert [f.usable for f in offer.fingerprints] == [True, False]


def test_old_form_of_the_section() -> None:
    text = CHROMIUM.replace(
        "m=application 52351 UDP/DTLS/SCTP webrtc-datachannel", "m=application 9 DTLS/SCTP 5003"
    )
    text = replaced(without(text, "sctp-port"), "sctpmap", "5003 webrtc-datachannel 1024")
    offer = RemoteDescription.parse(text, "offer")
    assert offer.sctp_port == 5003
    answer = ME.answer(offer)
    assert "m=application 9 DTLS/SCTP 5003\r\n" in answer
    assert "a=sctpmap:5003 webrtc-datachannel 65535\r\n" in answer
    assert "a=sctp-port" not in answer


def test_lite_peer() -> None:
    text = CHROMIUM.replace("a=extmap-allow-mixed", "a=ice-lite")
    assert RemoteDescription.parse(text, "offer").ice_lite


def test_any_size_and_no_port() -> None:
    text = without(replaced(CHROMIUM, "max-message-size", "0"), "sctp-port")
    offer = RemoteDescription.parse(text, "offer")
    assert offer.max_message_size == 0
    assert offer.sctp_port == 5000


def test_defaults_of_setup() -> None:
    # RFC 4145 §4
    text = without(CHROMIUM, "setup")
    assert RemoteDescription.parse(text, "offer").setup is Setup.ACTIVE
    assert RemoteDescription.parse(text, "answer").setup is Setup.PASSIVE


def test_candidates_that_make_no_sense_are_passed_over() -> None:
    text = CHROMIUM + "a=candidate:nonsense\na=candidate:1 1 udp 1 192.0.2.9 9 typ alien\n"
    assert len(RemoteDescription.parse(text, "offer").candidates) == 2


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "v=0"),
        ("v=1\n", "v=0"),
        ("v=0\r\n", "no section"),
        ("v=0\nnonsense\n", "not a line"),
        ("v=0\nm=application\n", "media section"),
        ("v=0\nm=application x UDP/DTLS/SCTP webrtc-datachannel\n", "port"),
        ("v=0\nm=application 65536 UDP/DTLS/SCTP webrtc-datachannel\n", "port"),
        ("v=0\nm=application 9 UDP/DTLS/SCTP something-else\n", "no section"),
        ("v=0\nm=audio 9 UDP/DTLS/SCTP webrtc-datachannel\n", "no section"),
        ("v=0\n" + "m=audio 9 X y\n" * 200, "sections"),
        ("v=0\n" + "a=x\n" * 9000, "lines"),
        ("v=0\n" + "x" * (1 << 19), "characters"),
        (CHROMIUM.replace("m=application 52351", "m=application 0"), "refused"),
        (without(CHROMIUM, "ice-ufrag"), "ice-ufrag"),
        (without(CHROMIUM, "ice-pwd"), "ice-pwd"),
        (replaced(CHROMIUM, "ice-pwd", "short"), "ice-pwd"),
        (without(CHROMIUM, "fingerprint"), "fingerprint"),
        (replaced(CHROMIUM, "fingerprint", "sha-256 AA:BB"), "fingerprint"),
        (replaced(CHROMIUM, "fingerprint", "md5 AA:BB"), "fingerprint"),
        (CHROMIUM + f"a=fingerprint:sha-256 {PRINT}\n" * 40, "fingerprints"),
        (replaced(CHROMIUM, "setup", "holdconn"), "setup"),
        (replaced(CHROMIUM, "sctp-port", "0"), "sctp-port"),
        (replaced(CHROMIUM, "sctp-port", "70000"), "sctp-port"),
        (replaced(CHROMIUM, "max-message-size", "-1"), "max-message-size"),
        (replaced(CHROMIUM, "max-message-size", "9" * 30), "max-message-size"),
        (replaced(CHROMIUM, "sctp-init", "%%%"), "base64"),
        (CHROMIUM.replace("a=mid:0", "a=mid:0\ra=injected"), "not a line"),
        (CHROMIUM + "a=x\0y\n", "not a line"),
    ],
)
def test_what_no_data_channels_can_come_of(text: str, reason: str) -> None:
    with pytest.raises(SdpError, match=reason):
        RemoteDescription.parse(text, "offer")


def test_actpass_in_an_answer() -> None:
    with pytest.raises(SdpError, match="actpass"):
        RemoteDescription.parse(CHROMIUM, "answer")


@given(st.lists(st.sampled_from(WITH_MEDIA.split("\n")), max_size=20), st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_description_or_an_sdp_error(lines: list[str], text: str) -> None:
    for sample in ("\n".join(["v=0", *lines, text]), CHROMIUM + "a=" + text, CHROMIUM + text):
        try:
            offer = RemoteDescription.parse(sample, "offer")
        except SdpError:
            continue
        answer = ME.answer(offer)
        assert answer.count("m=") == len(offer.sections)


# -- writing -----------------------------------------------------------------------------------


def test_answer_of_a_lite_server() -> None:
    answer = ME.answer(RemoteDescription.parse(CHROMIUM, "offer"))
    assert answer.split("\r\n") == [
        "v=0",
        "o=- 123 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=ice-lite",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=ice-ufrag:myufrag8",
        "a=ice-pwd:mypassword-mypassword-24",
        "a=ice-options:ice2",
        f"a=fingerprint:sha-256 {PRINT}",
        "a=setup:passive",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        f"a={ME.candidates[0]}",
        "a=end-of-candidates",
        "",
    ]


def test_answer_can_be_read_back() -> None:
    for text in (CHROMIUM, FIREFOX, WITH_MEDIA):
        offer = RemoteDescription.parse(text, "offer")
        answer = RemoteDescription.parse(ME.answer(offer), "answer")
        assert answer.credentials == ME.credentials
        assert answer.ice_lite
        assert answer.setup is Setup.PASSIVE
        assert answer.candidates == ME.candidates
        assert answer.mid == offer.mid
        assert answer.index == offer.index
        assert len(answer.sections) == len(offer.sections)


def test_media_sections_are_refused_in_their_places_and_nothing_is_echoed() -> None:
    answer = ME.answer(RemoteDescription.parse(WITH_MEDIA, "offer"))
    sections = [line for line in answer.split("\r\n") if line.startswith("m=")]
    assert sections == [
        "m=audio 0 UDP/TLS/RTP/SAVPF 111 63 9",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
    ]
    assert "a=group:BUNDLE data\r\n" in answer
    assert [line for line in answer.split("\r\n") if line.startswith("a=mid")] == [
        "a=mid:audio",
        "a=mid:data",
        "a=mid:video",
    ]
    for word in ("x-secret", "rtpmap", "rtcp", "AUFR", "bundle-only"):
        assert word not in answer


def test_a_further_offer_keeps_the_sections_in_their_places() -> None:
    """RFC 3264 §8: an ICE restart of ours was refused by a browser that had offered media, too."""
    before = RemoteDescription.parse(WITH_MEDIA, "offer")
    again = RemoteDescription.parse(ME.offer(after=before), "offer")
    assert again.sections == before.sections
    assert (again.index, again.mid, again.bundled) == (before.index, before.mid, True)
    assert [line.split()[1] for line in ME.offer(after=before).splitlines() if line[0] == "m"] == [
        "0",
        "9",
        "0",
    ]


@pytest.mark.parametrize("group", ["", " ", "BUNDLE", "LS 0"])
def test_a_group_of_nothing_is_no_bundle(group: str) -> None:
    """An empty value was a `ValueError` that is no `SdpError`."""
    offer = RemoteDescription.parse(replaced(CHROMIUM, "group", group), "offer")
    assert not offer.bundled
    text = CHROMIUM.replace("a=group:BUNDLE 0", f"a=group:{group}")
    assert text != CHROMIUM
    assert not RemoteDescription.parse(text, "offer").bundled


def test_offer_without_bundle_gets_an_answer_without() -> None:
    text = without(without(CHROMIUM, "group"), "mid")
    answer = ME.answer(RemoteDescription.parse(text, "offer"))
    assert "BUNDLE" not in answer
    assert "a=mid" not in answer


@pytest.mark.parametrize(
    "offered, preferred, expected",
    [
        ("actpass", None, Setup.PASSIVE),
        ("actpass", Setup.ACTIVE, Setup.ACTIVE),
        ("active", None, Setup.PASSIVE),
        ("passive", None, Setup.ACTIVE),
    ],
)
def test_setup_roles(offered: str, preferred: Setup | None, expected: Setup) -> None:
    offer = RemoteDescription.parse(replaced(CHROMIUM, "setup", offered), "offer")
    assert answer_setup(offer, preferred) is expected
    assert f"a=setup:{expected.value}\r\n" in ME.answer(offer, setup=preferred)


def test_setup_that_the_offer_does_not_allow() -> None:
    offer = RemoteDescription.parse(replaced(CHROMIUM, "setup", "active"), "offer")
    with pytest.raises(ValueError, match="active"):
        ME.answer(offer, setup=Setup.ACTIVE)


def test_our_offer() -> None:
    rng = Random(5)
    mine = LocalDescription(
        session_id=LocalDescription.new_session_id(rng),
        credentials=IceCredentials.generate(rng),
        fingerprints=ME.fingerprints,
        trickle=True,
        end_of_candidates=False,
        tls_id=LocalDescription.new_tls_id(rng),
        max_message_size=0,
        sctp_init=b"an INIT chunk",
    )
    text = mine.offer()
    offer = RemoteDescription.parse(text, "offer")
    assert offer.credentials == mine.credentials
    assert offer.setup is Setup.ACTPASS
    assert offer.trickle
    assert offer.bundled
    assert offer.tls_id == mine.tls_id
    assert offer.sctp_init == b"an INIT chunk"
    assert offer.max_message_size == 0
    assert not offer.end_of_candidates
    assert "ice-lite" not in text
    assert "a=ice-options:trickle ice2\r\n" in text


def test_tls_id_only_where_the_offer_has_one() -> None:
    # RFC 8842 §5.3
    mine = LocalDescription(
        session_id=1, credentials=ME.credentials, fingerprints=ME.fingerprints, tls_id="x" * 20
    )
    plain = RemoteDescription.parse(CHROMIUM, "offer")
    assert "tls-id" not in mine.answer(plain)
    with_id = RemoteDescription.parse(CHROMIUM + "a=tls-id:" + "y" * 24 + "\n", "offer")
    assert with_id.tls_id == "y" * 24
    assert f"a=tls-id:{'x' * 20}\r\n" in mine.answer(with_id)
    odd = RemoteDescription.parse(CHROMIUM + "a=tls-id:short\n", "offer")
    assert odd.tls_id is None


def test_sctp_init() -> None:
    # The example of draft-hancke-tsvwg-snap §4.1
    value = "AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA"
    offer = RemoteDescription.parse(CHROMIUM + f"a=sctp-init:{value}\n", "offer")
    assert offer.sctp_init == base64.b64decode(value)
    assert len(offer.sctp_init) == 30
