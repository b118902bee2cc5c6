from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings, strategies as st

from trio_sctp._webrtc.stun import (
    Attribute,
    MessageClass,
    StunDecodeError,
    StunMessage,
    encode_message,
    encode_xor_address,
    error_code_value,
    is_stun,
)

ID = bytes(range(12))
KEY = b"a password of enough length"

# The request of RFC 5769 §2.1
SAMPLE = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)


def request(*attributes: tuple[int, bytes], **options: object) -> bytes:
    return encode_message(MessageClass.REQUEST, ID, attributes, **options)  # type: ignore[arg-type]


def test_sample_of_the_rfc() -> None:
    message = StunMessage.decode(SAMPLE)
    assert message.message_class is MessageClass.REQUEST
    assert message.method == 1
    assert message.username == "evtj:h6vY"
    assert message.priority == 0x6E0001FF
    assert message.ice_controlled == 0x932FF9B151263B36
    assert message.ice_controlling is None
    assert Attribute.FINGERPRINT in message.attributes
    assert message.verify_integrity(b"VOkJxbRl1RmTxUk/WvJxBt")
    assert not message.verify_integrity(b"VOkJxbRl1RmTxUk/WvJxBT")
    assert message.unknown_attributes == []


@pytest.mark.parametrize(
    "address", [("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 32853)]
)
def test_addresses(address: tuple[str, int]) -> None:
    transaction_id = bytes.fromhex("b7e7a701bc34d686fa87dfae")
    value = encode_xor_address(address, transaction_id)
    if ":" not in address[0]:
        assert value.hex() == "0001a147e112a643"  # RFC 5769 §2.2
    data = encode_message(
        MessageClass.SUCCESS, transaction_id, [(Attribute.XOR_MAPPED_ADDRESS, value)], key=KEY
    )
    message = StunMessage.decode(data)
    assert message.message_class is MessageClass.SUCCESS
    assert message.mapped_address == address
    assert message.verify_integrity(KEY)


def test_mapped_address_of_an_old_server() -> None:
    value = bytes((0, 1)) + (4321).to_bytes(2, "big") + bytes((10, 0, 0, 1))
    message = StunMessage.decode(request((Attribute.MAPPED_ADDRESS, value)))
    assert message.mapped_address == ("10.0.0.1", 4321)


@pytest.mark.parametrize(
    "value", [b"", b"\0\1\0", b"\0\1" + bytes(7), b"\0\2" + bytes(6), b"\0\3" + bytes(6)]
)
def test_malformed_addresses_are_none(value: bytes) -> None:
    message = StunMessage.decode(request((Attribute.XOR_MAPPED_ADDRESS, value)))
    assert message.mapped_address is None


@pytest.mark.parametrize("sha256", [False, True])
def test_integrity_covers_every_byte_before_it(sha256: bool) -> None:
    data = request((Attribute.USERNAME, b"a:b"), key=KEY, sha256=sha256, fingerprint=False)
    good = StunMessage.decode(data)
    assert good.has_integrity
    assert good.integrity_is_sha256 is sha256
    assert good.verify_integrity(KEY)
    for position in range(len(data)):
        forged = bytearray(data)
        forged[position] ^= 1
        try:
            message = StunMessage.decode(bytes(forged))
        except StunDecodeError:
            continue
        assert not message.verify_integrity(KEY)


def test_fingerprint_finds_every_flipped_bit() -> None:
    data = request((Attribute.USERNAME, b"a:b"))
    for bit in range(len(data) * 8):
        forged = bytearray(data)
        forged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(StunDecodeError):
            assert Attribute.FINGERPRINT not in StunMessage.decode(bytes(forged)).attributes


def test_without_integrity_nobody_is_authentic() -> None:
    assert not StunMessage.decode(request()).verify_integrity(KEY)


def test_what_follows_the_integrity_is_not_looked_at() -> None:
    data = request((Attribute.USERNAME, b"a:b"), key=KEY, fingerprint=False)
    extra = b"\x00\x25\x00\x00" + b"\x7f\xff\x00\x00"
    longer = data[:2] + (len(data) - 20 + len(extra)).to_bytes(2, "big") + data[4:] + extra
    message = StunMessage.decode(longer)
    assert message.verify_integrity(KEY)
    assert not message.use_candidate
    assert message.unknown_attributes == []


def test_sha256_behind_sha1_is_the_one_that_counts() -> None:
    first = request((Attribute.USERNAME, b"a:b"), key=KEY, fingerprint=False)
    body = [(Attribute.USERNAME, b"a:b"), (Attribute.MESSAGE_INTEGRITY, first[-20:])]
    both = encode_message(MessageClass.REQUEST, ID, body, key=KEY, sha256=True)
    message = StunMessage.decode(both)
    assert message.integrity_is_sha256
    assert message.verify_integrity(KEY)
    wrong = encode_message(MessageClass.REQUEST, ID, body, key=b"another", sha256=True)
    assert not StunMessage.decode(wrong).verify_integrity(KEY)


@pytest.mark.parametrize("size", [0, 16, 19, 24])
def test_integrity_of_another_size(size: int) -> None:
    message = StunMessage.decode(request((Attribute.MESSAGE_INTEGRITY, bytes(size))))
    assert not message.verify_integrity(KEY)


def test_unknown_attributes() -> None:
    # 0xC057 is Chromium's and may be ignored; what is below 0x8000 may not.
    message = StunMessage.decode(request((0xC057, b"\0\0\0\1"), (0x7FFF, b""), (0x0030, b"abc")))
    assert message.unknown_attributes == [0x7FFF, 0x0030]


def test_first_of_several_counts() -> None:
    message = StunMessage.decode(
        request((Attribute.USERNAME, b"one"), (Attribute.USERNAME, b"two"))
    )
    assert message.username == "one"


@pytest.mark.parametrize("code", [300, 400, 401, 420, 438, 487, 500, 699])
def test_error_codes(code: int) -> None:
    data = encode_message(
        MessageClass.ERROR, ID, [(Attribute.ERROR_CODE, error_code_value(code, "because"))]
    )
    message = StunMessage.decode(data)
    assert message.message_class is MessageClass.ERROR
    assert message.error_code == code


def test_malformed_values_count_as_absent() -> None:
    message = StunMessage.decode(
        request(
            (Attribute.PRIORITY, b"abc"),
            (Attribute.ICE_CONTROLLING, b"abc"),
            (Attribute.ICE_CONTROLLED, b""),
            (Attribute.ERROR_CODE, b"\0\0\x02\x00"),
            (Attribute.USERNAME, bytes(600)),
        )
    )
    assert message.priority is None
    assert message.ice_controlling is None
    assert message.ice_controlled is None
    assert message.error_code is None
    assert message.username is None
    broken = StunMessage.decode(request((Attribute.USERNAME, b"\xff:b")))
    assert broken.username == "\ufffd:b"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SAMPLE[:19],
        SAMPLE[:-1],
        SAMPLE + b"\0",
        SAMPLE + bytes(4),
        b"\xc0" + SAMPLE[1:],
        SAMPLE[:4] + bytes(4) + SAMPLE[8:],
        SAMPLE[:-1] + b"\x00",
        request((0x8022, b""), fingerprint=False)[:-4] + b"\x80\x22\x00\x04",
        request((Attribute.FINGERPRINT, bytes(4)), (0x8022, b""), fingerprint=False),
        request(*[(0x8022, b"")] * 65),
    ],
)
def test_what_is_no_stun_message(data: bytes) -> None:
    with pytest.raises(StunDecodeError):
        StunMessage.decode(data)


def test_first_byte_and_cookie_tell_stun_from_dtls() -> None:
    assert is_stun(SAMPLE)
    assert not is_stun(SAMPLE[:19])
    assert not is_stun(b"\x16\xfe\xfd" + bytes(30))
    assert not is_stun(bytes(40))


@pytest.mark.parametrize("message_class", MessageClass)
@pytest.mark.parametrize("method", [0x001, 0x003, 0x080, 0xFFF])
def test_class_and_method(message_class: MessageClass, method: int) -> None:
    message = StunMessage.decode(encode_message(message_class, ID, method=method))
    assert (message.message_class, message.method) == (message_class, method)


def ask_everything(data: bytes) -> None:
    try:
        message = StunMessage.decode(data)
    except StunDecodeError:
        return
    message.verify_integrity(KEY)
    for name in dir(message):
        if not name.startswith("_"):
            getattr(message, name)


@given(st.binary(max_size=120))
@settings(max_examples=150, deadline=None)
def test_any_bytes(data: bytes) -> None:
    ask_everything(data)
    framed = b"\x00\x01" + len(data).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + ID + data
    ask_everything(framed)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 6, 8, 9, 10, 28, 32, 36, 37, 0x8029, 0x802A]),
            st.binary(max_size=40),
        ),
        max_size=8,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_attributes(attributes: list[tuple[int, bytes]]) -> None:
    ask_everything(encode_message(MessageClass.REQUEST, ID, attributes))
