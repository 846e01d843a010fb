"""The golden set: samples of the operator's choice that are judged at each gate and never trained on."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from titand.errors import ConfigError
from titand.learning.preprocess import Preprocess
from titand.records import ModelSpec

_PORTION = 64
_REMEDY = "Write it with numpy.savez(path, x=..., label=...): x as it is pushed, label as class ids."


class GoldenSet:
    """Samples in memory, in the type that they are pushed in.

    Args:
        x: [N, *shape] raw input.
        label: [N] int64.
        spec: of the model.
    """

    def __init__(self, x: Tensor, label: Tensor, spec: ModelSpec) -> None:
        self._x = x
        self._label = label
        self._preprocess = Preprocess(spec)

    def __len__(self) -> int:
        return len(self._label)

    def portions(self) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        """Yield numbers below 0, which no pushed sample has, normalised input [N, *shape] and labels [N]."""
        for begin in range(0, len(self), _PORTION):
            rows = slice(begin, begin + _PORTION)
            label = self._label[rows]
            yield [-1 - begin - row for row in range(len(label))], self._preprocess(self._x[rows]), label


def load_golden(path: Path, spec: ModelSpec) -> GoldenSet:
    """Read `x` [N, *shape] and `label` [N] of a .npz file.

    Raises:
        ConfigError: GOLDEN_SET_INVALID, with what does not fit.
    """
    import numpy

    try:
        with numpy.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise _invalid(path, f"it cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise _invalid(path, "it is no .npz file") from error
    if "x" not in arrays or not {"label", "y"} & arrays.keys():
        raise _invalid(path, f"it holds {', '.join(arrays) or 'nothing'}, not x and label")
    x, label = arrays["x"], arrays["label" if "label" in arrays else "y"]
    _require_fit(path, x, label, spec)
    return GoldenSet(torch.from_numpy(x), torch.from_numpy(label.astype(numpy.int64)), spec)


def _require_fit(path: Path, x: Any, label: Any, spec: ModelSpec) -> None:
    wanted = spec.input
    if x.ndim == 0 or x.shape[1:] != wanted.shape or x.dtype.name != wanted.data_type:
        found = f"{x.dtype.name} {list(x.shape)}"
        raise _invalid(path, f"x is {found}; the model takes {wanted.data_type} [N, {str(list(wanted.shape))[1:]}")
    if label.ndim != 1 or label.dtype.kind not in "iu" or len(label) != len(x):
        raise _invalid(path, f"label is {label.dtype.name} {list(label.shape)}; {len(x)} class ids are needed")
    if not len(label):
        raise _invalid(path, "it is empty")
    if label.min() < 0 or label.max() >= spec.class_count:
        found = f"{label.min()} to {label.max()}"
        raise _invalid(path, f"labels go from {found}; the model's are 0 to {spec.class_count - 1}")


def _invalid(path: Path, defect: str) -> ConfigError:
    return ConfigError("GOLDEN_SET_INVALID", f"guard.golden_set: {path}: {defect}.", _REMEDY, {"path": str(path)})
