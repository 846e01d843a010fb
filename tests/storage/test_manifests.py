from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titand.errors import CorruptFile
from titand.storage.manifests import decode_manifest, encode_manifest


def test_every_flipped_bit_of_a_manifest_is_found():
    path = Path("manifest.json")
    whole = encode_manifest({"round": 421, "labels": ["één", "a b"], "metrics": {"accuracy": 0.5}})
    assert decode_manifest(whole, path)["round"] == 421
    for bit in range(8 * len(whole)):
        contents = bytearray(whole)
        contents[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFile):
            decode_manifest(bytes(contents), path)
    for length in range(len(whole)):
        with pytest.raises(CorruptFile):
            decode_manifest(whole[:length], path)


@given(st.binary(max_size=200))
def test_garbage_is_never_a_manifest(contents):
    with pytest.raises(CorruptFile):
        decode_manifest(contents, Path("manifest.json"))


def test_deeply_nested_garbage_is_never_a_manifest():
    with pytest.raises(CorruptFile):
        decode_manifest(b"[" * 100_000, Path("manifest.json"))
