"""Every kind of file gives back the samples that another library wrote into it."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from titand.demo import files
from titand.errors import CorruptFile, InvalidRequest, NotFound

IMAGE = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx(array, code=0x08):
    """The format as its specification words it, packed by struct instead of numpy."""
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "some-images-idx3-ubyte").write_bytes(idx(IMAGE))
    (tmp_path / "some-labels-idx1-ubyte").write_bytes(idx(np.array([1, 0], np.uint8)))
    return tmp_path / "some-images-idx3-ubyte"


def test_idx_images_get_a_channel_and_the_labels_beside_them(pair):
    samples = files.read(pair)
    assert samples.input.shape == (2, 1, 3, 4)
    assert np.array_equal(samples.input[:, 0], IMAGE)
    assert samples.label.tolist() == [1, 0]
    assert samples.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_idx_keeps_the_values_of_every_type_in_native_order(tmp_path, code, dtype):
    value = np.array([[1, 2, 3], [-4 if dtype != ">u1" else 4, 5, 6]], dtype)
    (tmp_path / "a").write_bytes(idx(value, code))
    array = files.read_idx(tmp_path / "a")
    assert array.tolist() == value.tolist()
    assert array.dtype == value.dtype.newbyteorder("=")


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4)))
def test_a_gzipped_idx_file_holds_the_same_as_a_plain_one(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("idx")
    (path / "plain").write_bytes(idx(array))
    (path / "packed.gz").write_bytes(gzip.compress(idx(array)))
    assert np.array_equal(files.read_idx(path / "plain"), array)
    assert np.array_equal(files.read_idx(path / "packed.gz"), array)


@given(st.data())
def test_an_idx_file_cut_anywhere_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "cut"
    whole = idx(IMAGE)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CorruptFile):
        files.read_idx(path)


def test_a_gzip_stream_that_breaks_off_is_refused(tmp_path):
    path = tmp_path / "broken.gz"
    path.write_bytes(gzip.compress(idx(IMAGE))[:-6])
    with pytest.raises(CorruptFile, match="Fetch the file again"):
        files.read_idx(path)


def test_images_without_their_labels_are_refused(pair):
    pair.with_name("some-labels-idx1-ubyte").unlink()
    with pytest.raises(NotFound, match="some-labels-idx1-ubyte"):
        files.read(pair)


@pytest.mark.parametrize("names", [("input", "label"), ("x", "y"), ("data", "target")])
def test_an_npz_is_read_by_the_usual_names(tmp_path, names):
    value, label = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32), np.array([0, 2, 1, 0, 2])
    np.savez_compressed(tmp_path / "a.npz", **{names[0]: value, names[1]: label})
    samples = files.read(tmp_path / "a.npz")
    assert np.array_equal(samples.input, value)
    assert samples.input.dtype == np.float32
    assert samples.label.tolist() == label.tolist()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.array([0, 255]), np.uint8),
        (np.array([-1, 255]), np.int16),
        (np.array([0, 2**15]), np.float32),
        (np.array([True, False]), np.uint8),
        (np.array([0.5, 1.5]), np.float32),
        (np.array([0.5, 1.5], np.float16), np.float16),
        (np.zeros(0, np.int64), np.uint8),
    ],
)
def test_values_get_the_smallest_type_that_can_be_pushed_and_holds_them(value, dtype):
    assert files.pushable(value).dtype == dtype
    assert files.pushable(value).tolist() == value.tolist()


def test_images_get_their_channel_first():
    value = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3))
    assert files.pushable(value)[4, 2, 8, 6] == value[4, 8, 6, 2]
    assert files.pushable(value[..., 0])[4, 0, 8, 6] == value[4, 8, 6, 0]
    assert np.array_equal(files.pushable(value.transpose(0, 3, 1, 2)), value.transpose(0, 3, 1, 2))


def test_inputs_that_are_no_numbers_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array(["1", "2"]), y=np.array([0, 1]))
    with pytest.raises(InvalidRequest, match="not numbers"):
        files.read(tmp_path / "a.npz")


def test_an_npz_without_labels_is_refused_with_what_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=IMAGE)
    with pytest.raises(InvalidRequest, match=r"holds pictures.*numpy\.savez"):
        files.read(tmp_path / "a.npz")


def test_an_npz_with_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], object), y=np.array([0]))
    with pytest.raises(CorruptFile, match="pickle"):
        files.read(tmp_path / "a.npz")


def test_an_npz_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(CorruptFile):
        files.read(tmp_path / "a.npz")


def test_inputs_and_labels_must_be_as_many(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGE, y=np.array([0, 1, 0]))
    with pytest.raises(InvalidRequest, match=r"2 inputs and labels of shape \(3,\)"):
        files.read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "value", "label", "names"),
    [
        ("1,2,0\n3,4,1\n", [[1, 2], [3, 4]], [0, 1], ("0", "1")),
        ("a,b,c\n1,2,walk\n3,4,run\n\n5,6,walk\n", [[1, 2], [3, 4], [5, 6]], [1, 0, 1], ("run", "walk")),
        ("label,a,b\n1,.5,-2e3\n0,3,4\n", [[0.5, -2000], [3, 4]], [1, 0], ("0", "1")),
        ("1,2,walk\n3,4,run\n", [[1, 2], [3, 4]], [1, 0], ("run", "walk")),
        ("\ufeffx,label\n1,7\n2,9\n", [[1], [2]], [0, 1], ("7", "9")),
    ],
)
def test_a_csv_may_have_a_header_and_names_for_labels(tmp_path, text, value, label, names):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    samples = files.read(tmp_path / "a.csv")
    assert samples.input.tolist() == value
    assert samples.label.tolist() == label
    assert samples.class_names == names


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,0\nx,1\n", "sample 2.*'x'"), ("1,2,0\n1,0\n", "sample 2"), ("\n", "no rows"), ("a,label\n", "0 inputs")],
)
def test_a_csv_that_is_no_table_of_numbers_is_refused_by_row(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidRequest, match=said):
        files.read(tmp_path / "a.csv")


def picture(path, size, colour):
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(exist_ok=True)
    image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)


def test_a_folder_for_each_class_becomes_pictures_of_one_size(tmp_path):
    picture(tmp_path / "dog" / "1.png", (40, 30), (10, 20, 30))
    picture(tmp_path / "cat" / "1.png", (8, 8), (1, 2, 3))
    picture(tmp_path / "cat" / "2.png", (8, 8), 7)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    samples = files.read(tmp_path, image_size=16)
    assert samples.class_names == ("cat", "dog")
    assert samples.label.tolist() == [0, 0, 1]
    assert samples.input.shape == (3, 3, 16, 16)
    assert samples.input[:, :, 5, 9].tolist() == [[1, 2, 3], [7, 7, 7], [10, 20, 30]]


def test_grey_pictures_keep_one_channel(tmp_path):
    picture(tmp_path / "a" / "1.png", (8, 8), 200)
    assert files.read(tmp_path, image_size=8).input.tolist() == [[[[200] * 8] * 8]]


def test_a_broken_picture_is_named(tmp_path):
    picture(tmp_path / "a" / "1.png", (8, 8), 0)
    (tmp_path / "a" / "2.png").write_bytes(b"no picture")
    with pytest.raises(CorruptFile, match=r"2\.png"):
        files.read(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(InvalidRequest, match="Make a folder for each class"):
        files.read(tmp_path)


def test_other_files_are_refused_with_the_kinds_that_are_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(InvalidRequest, match=r"\.npz, a \.csv"):
        files.read(tmp_path / "a.parquet")
    with pytest.raises(NotFound):
        files.read(tmp_path / "nowhere.csv")
