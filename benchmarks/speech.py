"""Google Speech Commands (P. Warden, arXiv:1804.03209) as log-mel spectrograms of 40 bands x 98 frames."""

from __future__ import annotations

import io
import lzma
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from titand.demo.data import Dataset
from titand.demo.files import Samples, checked
from titand.errors import CorruptFile, NotFound

SPECTROGRAMS_SHA256 = "31dfa37da867db6d2aa64358c304d269339de049a12cb357a9e878a51db57b59"
CORE_WORDS = (
    "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go",
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip
RATE = 16_000
WINDOW, HOP, BANDS, FRAMES = 400, 160, 40, 98  # 25 ms every 10 ms, in one second

Values = NDArray[np.float32]


def from_spectrograms(path: Path) -> Dataset:
    """Read 17 of the core words, with the official split by speaker, from the file of that checksum."""
    with np.load(io.BytesIO(lzma.decompress(checked(path, SPECTROGRAMS_SHA256))), allow_pickle=False) as archive:
        part = {name: archive[name] for name in archive.files}
    names = [str(name) for name in part["names"]]
    words = [number for number, name in enumerate(names) if not name.startswith("_")]
    label = np.full(len(names), -1)
    label[words] = np.arange(len(words))
    own = label[part["label"]]
    value = part["logmel"].astype(np.float32) * part["step"] + part["lo"]
    samples = Samples(value[:, None].astype(np.float32), own.astype(np.int64), tuple(names[word] for word in words))
    return _split(samples, (own >= 0) & (part["split"] == 0), (own >= 0) & (part["split"] == 2))


def from_folder(path: Path) -> Dataset:
    """Read the official folder: a folder for each word, `testing_list.txt`, `validation_list.txt`.

    Only the twenty core words that it has are read. Validation clips are neither streamed nor judged by.

    Raises:
        NotFound: a list is missing, or there is no word.
        CorruptFile: a clip is not 16 kHz mono of 16 bit.
    """
    lists = {}
    for name in ("testing", "validation"):
        if not (path / f"{name}_list.txt").is_file():
            raise NotFound("DATA_NOT_FOUND", f"{path}: there is no {name}_list.txt.", "Unpack the official archive.")
        lists[name] = set((path / f"{name}_list.txt").read_text().split())
    words = [word for word in CORE_WORDS if (path / word).is_dir()]
    clips = [(clip, number) for number, word in enumerate(words) for clip in sorted((path / word).glob("*.wav"))]
    if not clips:
        raise NotFound("DATA_NOT_FOUND", f"{path}: there is no clip of a core word.", "Unpack the official archive.")
    value = np.stack([log_mel(clip_of(clip)) for clip, _ in clips])[:, None]
    names = [f"{clip.parent.name}/{clip.name}" for clip, _ in clips]
    is_test = np.array([name in lists["testing"] for name in names])
    is_train = ~is_test & np.array([name not in lists["validation"] for name in names])
    samples = Samples(value, np.array([number for _, number in clips], np.int64), tuple(words))
    return _split(samples, is_train, is_test)


def clip_of(path: Path) -> Values:
    """Return one second of a clip in [-1, 1]: [16000], silence behind a shorter one."""
    try:
        with wave.open(str(path)) as clip:
            facts = (clip.getframerate(), clip.getnchannels(), clip.getsampwidth())
            frames = clip.readframes(RATE)
    except (wave.Error, EOFError) as error:
        raise CorruptFile("CLIP_BROKEN", f"{path}: {error}.", "Fetch the archive again.") from error
    if facts != (RATE, 1, 2):
        raise CorruptFile(
            "CLIP_BROKEN", f"{path}: rate, channels, bytes are {facts}.", "16 kHz mono of 16 bit is read."
        )
    sound = np.frombuffer(frames, "<i2").astype(np.float32) / 32768
    return np.pad(sound, (0, RATE - len(sound)))


def log_mel(sound: Values) -> Values:
    """Return ln(energy + 1e-6) in 40 mel bands of 98 frames, [40, 98], of one second [16000].

    Frames: 25 ms every 10 ms under a Hann window; bands are triangles, corners evenly spaced on the mel scale,
    m = 2595 log10(1 + f / 700), from 20 Hz to 8 kHz.
    """
    frame = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP][:FRAMES]
    power = np.abs(np.fft.rfft(frame * np.hanning(WINDOW + 1)[:-1], 512)) ** 2
    result: Values = np.log(bands() @ power.T + 1e-6).astype(np.float32)
    return result


def bands() -> NDArray[np.float64]:
    """Return the triangles: [40, 257] weights of the frequencies of a transform of 512 points."""
    lowest, highest = (2595 * np.log10(1 + hertz / 700) for hertz in (20.0, RATE / 2))
    mel = np.linspace(lowest, highest, BANDS + 2)
    corner = 700 * (10 ** (mel / 2595) - 1)
    frequency = np.fft.rfftfreq(512, 1 / RATE)
    low, centre, high = corner[:-2, None], corner[1:-1, None], corner[2:, None]
    rising, falling = (frequency - low) / (centre - low), (high - frequency) / (high - centre)
    triangle: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
    return triangle


def _split(samples: Samples, is_train: NDArray[np.bool_], is_test: NDArray[np.bool_]) -> Dataset:
    order = np.random.default_rng(0).permutation(np.flatnonzero(is_train))  # files hold one word after the other
    return Dataset(
        "speech", samples.at(order), samples.at(np.flatnonzero(is_test)), "speakers never streamed", floor=0.15
    )
