"""Commands as they are packed."""

from redis._parsers.encoders import Encoder
from redis.connection import PythonRespSerializer

from learning_machine.streams import packed


def test_given_a_command_then_it_is_packed_as_redis_py_packs_it() -> None:
    words = [b"XADD", b"learning:events:3", b"*", b"event", "é{}".encode() * 100, b""]

    theirs = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode).pack(*words)

    assert packed(*words) == b"".join(theirs)
