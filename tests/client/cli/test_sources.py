"""Files of every kind as samples; numpy, Pillow and struct are the oracles. What does not fit is refused."""

from __future__ import annotations

import gzip
import struct

import pytest

from titan.cli import idx, images, npz, table
from titan.cli.output import Misused
from titan.cli.target import Piece, Target
from titan.records import TensorSpec

LABELS = ("cat", "dog", "7")
IMAGE = Target(TensorSpec("uint8", (3, 2, 4)), LABELS)
GREY = Target(TensorSpec("uint8", (1, 2, 4)), LABELS)
VECTOR = Target(TensorSpec("float32", (3,)), LABELS)


def everything(pieces):
    """Bytes and labels of all pieces together."""
    found = list(pieces)
    return b"".join(bytes(piece.data) for piece in found), [label for piece in found for label in piece.labels]


# ---- numbers and labels --------------------------------------------------------------------------------------


EXACT = [
    ("uint8", [0, 255, 7.0], "<3B"),
    ("int16", [-(2**15), 2**15 - 1], "<2h"),
    ("float32", [0.5, -2], "<2f"),
    ("float16", [0.5], "<e"),
]
INEXACT = [("uint8", 0.5), ("float32", 0.1), ("float16", 4097.0), ("int16", 1.25)]
TOO_LARGE = [("uint8", 256), ("uint8", -1), ("int16", 1e9), ("float16", 1e9), ("uint8", float("nan"))]


@pytest.mark.parametrize(("data_type", "values", "code"), EXACT)
def test_numbers_that_are_exact_are_packed(data_type, values, code):
    target = Target(TensorSpec(data_type, (1,)), LABELS)
    expected = struct.pack(code, *map(float if "float" in data_type else int, values))
    assert target.pack(values, "here") == expected


@pytest.mark.parametrize(("data_type", "value"), INEXACT)
def test_numbers_that_are_not_exact_are_refused_unless_told(data_type, value):
    target = Target(TensorSpec(data_type, (1,)), LABELS)
    with pytest.raises(Misused, match=f"Say --as {data_type}"):
        target.pack([value], "here")
    assert target._replace(forced=True).pack([value], "here")


@pytest.mark.parametrize(("data_type", "value"), TOO_LARGE)
def test_numbers_that_do_not_fit_are_refused_even_when_told(data_type, value):
    target = Target(TensorSpec(data_type, (1,)), LABELS, forced=True)
    with pytest.raises(Misused, match="do not fit"):
        target.pack([value], "here")


def test_a_nan_is_for_the_daemon_to_judge():
    assert VECTOR.pack([float("nan")], "here") == struct.pack("<f", float("nan"))


def test_a_label_is_a_name_before_it_is_a_number():
    assert [VECTOR.label(said, "here") for said in ("cat", "dog", "7", "1", " 0 ")] == [0, 1, 2, 1, 0]
    for wrong in ("cow", "3", "-1", ""):
        with pytest.raises(Misused, match="it knows cat, dog, 7"):
            VECTOR.label(wrong, "here")


def test_a_piece_is_cut_without_losing_anything():
    whole = Piece(bytes(range(20)), list(range(10)))
    parts = list(whole.cut(3))
    assert [len(part.labels) for part in parts] == [3, 3, 3, 1]
    assert everything(parts) == (whole.data, whole.labels)


# ---- folders of images ---------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """A folder with three pictures of cats and one of a dog."""
    image_module = pytest.importorskip("PIL.Image")
    numpy = pytest.importorskip("numpy")
    pixels = {}
    for number, name in enumerate(["cat/a.png", "cat/b.bmp", "cat/c.PNG", "dog/a.png"]):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pixels[name] = numpy.random.default_rng(number).integers(0, 256, (2, 4, 3), numpy.uint8)
        image_module.fromarray(pixels[name]).save(path)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "readme.md").write_text("no class")
    return tmp_path, pixels


def test_images_become_planes_one_class_after_the_other(pictures):
    folder, pixels = pictures
    data, labels = everything(images.pieces(str(folder), IMAGE))
    order = ["cat/a.png", "dog/a.png", "cat/b.bmp", "cat/c.PNG"]
    assert labels == [0, 1, 0, 0]
    assert data == b"".join(pixels[name].transpose(2, 0, 1).tobytes() for name in order)
    assert images.count(str(folder)) == 4


def test_images_get_the_channels_of_the_model(pictures):
    image_module = pytest.importorskip("PIL.Image")
    folder, pixels = pictures
    data, _ = everything(images.pieces(str(folder), GREY))
    assert data[:8] == image_module.fromarray(pixels["cat/a.png"]).convert("L").tobytes()
    assert len(data) == 4 * GREY.spec.size_bytes


def test_an_image_of_another_size_is_refused_by_name(pictures):
    folder, _ = pictures
    other = Target(TensorSpec("uint8", (3, 4, 4)), LABELS)
    with pytest.raises(Misused, match=r"a\.png: is 4x2 pixels; the model takes 4x4"):
        everything(images.pieces(str(folder), other))


def test_images_for_a_model_of_numbers_are_refused(pictures):
    with pytest.raises(Misused, match="no image of bytes"):
        everything(images.pieces(str(pictures[0]), VECTOR))


def test_a_class_that_the_model_does_not_know_is_refused(pictures):
    folder, _ = pictures
    (folder / "dog").rename(folder / "cow")
    with pytest.raises(Misused, match="'cow' is no label"):
        everything(images.pieces(str(folder), IMAGE))


def test_a_broken_image_is_named(pictures):
    folder, _ = pictures
    (folder / "cat" / "a.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(Misused, match=r"a\.png: no image"):
        everything(images.pieces(str(folder), IMAGE))


def test_a_folder_without_images_is_said_to_be_one(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(Misused, match="no images"):
        images.count(str(tmp_path))


# ---- IDX -----------------------------------------------------------------------------------------------------


def write_idx(path, code, shape, payload):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape) + payload)


def test_damaged_archives_are_refused_wherever_they_end(tmp_path):
    numpy = pytest.importorskip("numpy")
    noise = numpy.random.default_rng(0).integers(0, 256, (3, 1, 2, 4), numpy.uint8)
    numpy.savez_compressed(tmp_path / "whole.npz", x=noise, y=numpy.array([2, 0, 1]))
    write_idx(tmp_path / "whole-images-idx3.gz", 0x08, (3, 2, 4), noise.tobytes())
    write_idx(tmp_path / "cut-labels-idx1.gz", 0x08, (3,), bytes(3))
    readers = {
        "whole.npz": lambda path: npz.pieces(path, GREY, "x", "y"),
        "whole-images-idx3.gz": lambda path: idx.pieces(path, GREY),
    }
    for name, read in readers.items():
        data = (tmp_path / name).read_bytes()
        damaged = tmp_path / name.replace("whole", "cut")
        for size in range(len(data) - 16):  # the last bytes of gzip are a mark of its end and a checksum
            damaged.write_bytes(data[:size])
            with pytest.raises(Misused, match=damaged.name):
                everything(read(str(damaged)))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_are_read_with_the_labels_beside_them(tmp_path, ending):
    pixels = bytes(range(24))
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    write_idx(path, 0x08, (3, 2, 4), pixels)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{ending}", 0x08, (3,), bytes([2, 0, 1]))
    assert everything(idx.pieces(str(path), GREY)) == (pixels, [2, 0, 1])
    assert idx.count(str(path)) == 3


IDX_TYPES = [
    (0x09, "b", "int16"),
    (0x0B, "h", "int16"),
    (0x0C, "i", "float32"),
    (0x0D, "f", "float32"),
    (0x0E, "d", "float32"),
]


@pytest.mark.parametrize(("code", "letter", "data_type"), IDX_TYPES)
def test_idx_files_of_every_type_are_turned_into_the_models(tmp_path, code, letter, data_type):
    values = [1, -2, 3, 4, 5, 6]
    write_idx(tmp_path / "a-idx2", code, (2, 3), struct.pack(f">6{letter}", *values))
    write_idx(tmp_path / "b-idx1", 0x0C, (2,), struct.pack(">2i", 1, 0))
    target = Target(TensorSpec(data_type, (3,)), LABELS)
    data, labels = everything(idx.pieces(str(tmp_path / "a-idx2"), target, str(tmp_path / "b-idx1")))
    assert labels == [1, 0]
    assert data == struct.pack(f"<6{'h' if data_type == 'int16' else 'f'}", *values)


def test_large_idx_files_come_in_pieces(tmp_path):
    count = 300_000
    write_idx(tmp_path / "x-images-idx2", 0x08, (count, 8), bytes(range(250)) * (count * 8 // 250))
    write_idx(tmp_path / "x-labels-idx2", 0x08, (count,), bytes(count))
    target = Target(TensorSpec("uint8", (8,)), LABELS)
    found = list(idx.pieces(str(tmp_path / "x-images-idx2"), target))
    assert len(found) == 3
    assert everything(found)[0] == bytes(range(250)) * (count * 8 // 250)


def test_idx_files_that_are_none_or_too_short_or_have_no_labels_are_refused(tmp_path):
    (tmp_path / "a-images-idx3").write_bytes(b"\x00\x01nonsense")
    (tmp_path / "z-images-idx3.gz").write_bytes(b"no gzip")
    for name in ("a-images-idx3", "z-images-idx3.gz"):
        with pytest.raises(Misused, match="no IDX file"):
            idx.count(str(tmp_path / name))
    path = tmp_path / "b-images-idx3"
    write_idx(path, 0x08, (3, 2, 4), bytes(23))
    with pytest.raises(Misused, match="name it with --labels"):
        everything(idx.pieces(str(path), GREY))
    labels = tmp_path / "b-labels-idx1"
    write_idx(labels, 0x08, (2,), bytes(2))
    with pytest.raises(Misused, match="one label for each of the 3"):
        everything(idx.pieces(str(path), GREY))
    write_idx(labels, 0x08, (3,), bytes(3))
    with pytest.raises(Misused, match="ends too early"):
        everything(idx.pieces(str(path), GREY))
    with pytest.raises(Misused, match=r"samples are 2x4; the model takes float32 3"):
        everything(idx.pieces(str(path), VECTOR))


# ---- .npz ----------------------------------------------------------------------------------------------------


def test_npz_arrays_are_read_whatever_their_layout(tmp_path):
    numpy = pytest.importorskip("numpy")
    x = numpy.asfortranarray(numpy.arange(24, dtype=numpy.int64).reshape(3, 1, 2, 4))
    path = str(tmp_path / "a.npz")
    numpy.savez(path, x=x, y=numpy.array([2, 0, 1]), names=numpy.array(["cat", "7", "dog"]))
    expected = x.astype(numpy.uint8).tobytes()
    assert everything(npz.pieces(path, GREY, "x", "y")) == (expected, [2, 0, 1])
    assert everything(npz.pieces(path, GREY, "x", "names")) == (expected, [0, 2, 1])
    assert npz.count(path, "y") == 3


def test_npz_values_that_are_not_exact_are_refused_unless_told(tmp_path):
    numpy = pytest.importorskip("numpy")
    path = str(tmp_path / "a.npz")
    numpy.savez(path, x=numpy.array([[0.1, 0.2, 0.3]]), y=numpy.array([1]))
    with pytest.raises(Misused, match="Say --as float32"):
        everything(npz.pieces(path, VECTOR, "x", "y"))
    data, _ = everything(npz.pieces(path, VECTOR._replace(forced=True), "x", "y"))
    assert data == numpy.array([0.1, 0.2, 0.3], "<f4").tobytes()
    numpy.savez(path, x=numpy.array([[0.5, numpy.nan, -1]]), y=numpy.array([1]))
    data, _ = everything(npz.pieces(path, VECTOR, "x", "y"))
    assert data == numpy.array([0.5, numpy.nan, -1], "<f4").tobytes()


def test_npz_files_that_do_not_fit_are_refused(tmp_path):
    numpy = pytest.importorskip("numpy")
    path = str(tmp_path / "a.npz")
    numpy.savez(path, x=numpy.zeros((2, 3)), y=numpy.zeros(3, int), z=numpy.zeros(2), o=numpy.array([{}, {}]))
    for keys, words in (
        (("nope", "y"), "no array 'nope' but x, y, z, o"),
        (("x", "y"), "'x' has 2 samples, 'y' 3 labels"),
        (("x", "z"), "class ids or names"),
        (("x", "o"), "cannot be read"),
        (("y", "y"), "samples are"),
    ):
        with pytest.raises(Misused, match=words):
            everything(npz.pieces(path, VECTOR, *keys))
    (tmp_path / "b.npz").write_bytes(b"nonsense")
    with pytest.raises(Misused, match=r"no \.npz file"):
        npz.count(str(tmp_path / "b.npz"), "y")
    numpy.savez(path, x=numpy.zeros(()), y=numpy.zeros((), int))
    with pytest.raises(Misused, match="'y' is a single value"):
        npz.count(path, "y")
    with open(tmp_path / "b.npz", "wb") as file:
        numpy.save(file, numpy.zeros(3))
    with pytest.raises(Misused, match="is a single array"):
        npz.count(str(tmp_path / "b.npz"), "y")


# ---- .csv ----------------------------------------------------------------------------------------------------

ROWS = ["1,2.5,-3", "4,5,6"]
VALUES = struct.pack("<6f", 1, 2.5, -3, 4, 5, 6)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("1,2.5,-3,dog\n4,5,6,0\n", None),
        ("a,b,c,d\n1,2.5,-3,dog\n4,5,6,0\n", None),
        ("a,label,b,c\n1,dog,2.5,-3\n\n4,cat,5,6\n", None),
        ("kind,a,b,c\ndog,1,2.5,-3\ncat,4,5,6\n", "kind"),
        ("dog,1,2.5,-3\ncat,4,5,6\n", "0"),
        ("1,2.5,-3,dog\n4,5,6,cat\n", "-1"),
        ('1,2.5,-3,"dog"\r\n4,5,6,"cat"', "3"),
    ],
)
def test_csv_rows_are_samples(tmp_path, text, column):
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert everything(table.pieces(str(path), VECTOR, column)) == (VALUES, [1, 0])


def test_csv_integers_do_not_round(tmp_path):
    path = tmp_path / "a.csv"
    target = Target(TensorSpec("uint8", (2,)), LABELS)
    path.write_text("1,2.0,cat\n")
    assert everything(table.pieces(str(path), target)) == (b"\x01\x02", [0])
    path.write_text("1,2.5,cat\n")
    with pytest.raises(Misused, match="Say --as uint8"):
        everything(table.pieces(str(path), target))


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("1,2,dog\n", None, r"a\.csv:1: 2 values; the model takes 3"),
        ("1,2,3,dog\n1,two,3,dog\n", None, r"a\.csv:2: could not convert"),
        ("1,2,3,cow\n", None, "'cow' is no label"),
        ("1,2,3,dog\n", "kind", "has no column 'kind'; it has 1, 2, 3, dog"),
        ("1,2,3,dog\n", "9", "has no column '9'"),
    ],
)
def test_csv_rows_that_do_not_fit_are_refused_by_line(tmp_path, text, column, words):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(Misused, match=words):
        everything(table.pieces(str(path), VECTOR, column))


def test_a_csv_that_is_none_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    for content in (b"\xff\xfe\x00", b"1,2," + b"9" * 200_000 + b",cat\n"):
        path.write_bytes(content)
        with pytest.raises(Misused, match=r"no \.csv file"):
            everything(table.pieces(str(path), VECTOR))


def test_an_empty_csv_has_no_samples(tmp_path):
    (tmp_path / "a.csv").write_text("")
    assert everything(table.pieces(str(tmp_path / "a.csv"), VECTOR)) == (b"", [])
