"""Model files out and in: a .pt2 program that takes raw input, and safetensors.

Exporting imports torch._dynamo, inside the function: a process that never exports never pays for it.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from titand.errors import ModelError
from titand.learning.models.split import SplitModel
from titand.learning.preprocess import Preprocess
from titand.learning.state import copy, model_tensors
from titand.records import ModelSpec, to_plain

SPEC_FILE = "titan.json"  # the model's description inside the archive
VERIFY_BATCHES = (1, 2, 7)  # sizes that the loaded program is run with before anyone gets it
_OTHER_MODEL = "Build the model with the architecture, labels and options that the file was written with."
TOLERANCE = 1e-4  # of logits, relative and absolute: kernels may be chosen differently after loading


class Deployed(nn.Module):
    """What a consumer runs: raw values in, logits out."""

    def __init__(self, model: SplitModel, spec: ModelSpec) -> None:
        super().__init__()
        self.preprocess = Preprocess(spec)
        self.model = model

    def forward(self, raw: Tensor) -> Tensor:
        """Map raw input [N, *shape], as it is pushed, to logits [N, C]."""
        logits: Tensor = self.model(self.preprocess(raw))
        return logits


def to_pt2(model: SplitModel, spec: ModelSpec, file: Path | BytesIO) -> None:
    """Write the model as a program that takes raw input, load it back, and compare.

    The archive carries the model's description as `titan.json`. Reading it needs torch alone:
    `torch.export.load(path).module()(raw)`.

    Args:
        model: on the CPU; it is left as it was.
        spec: its description.
        file: to be written: a path ending in .pt2, or memory, which no full disk can cut short. What is there after
            an error is to be thrown away.

    Raises:
        ModelError: torch cannot export the model, or the loaded program answers differently.
    """
    deployed = Deployed(model, spec)
    was_training = model.training
    deployed.eval()
    try:
        _write_program(deployed, spec, file)
        if isinstance(file, BytesIO):
            file.seek(0)
        _verify(deployed, load_pt2(file)[0], spec)
    finally:
        model.train(was_training)


def load_pt2(file: Path | BytesIO) -> tuple[nn.Module, dict[str, Any]]:
    """Return the program of a .pt2 file and the description it carries.

    Raises:
        ModelError: not an archive that torch can load.
    """
    extra = {SPEC_FILE: ""}
    try:
        program = torch.export.load(file, extra_files=extra).module()
        description = json.loads(extra[SPEC_FILE] or "{}")
    except Exception as error:  # torch raises what it likes: RuntimeError, ValueError, KeyError, AssertionError
        name = getattr(file, "name", "this")
        raise ModelError("MODEL_FILE_INVALID", f"{name} is not a .pt2 program: {_first_line(error)}") from error
    return program, description


def load_safetensors_into(model: nn.Module, path: Path) -> None:
    """Copy a safetensors file into the model's parameters and buffers, all or none.

    Raises:
        ModelError: unreadable, a tensor missing, left over, or of another shape or type.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        loaded = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            "MODEL_FILE_INVALID",
            f"{path} cannot be read: {getattr(error, 'strerror', None) or _first_line(error)}.",
            "Name a safetensors file that this user may read; paths are relative to where the daemon was started.",
        ) from error
    target = model_tensors(model)
    missing, surplus = sorted(target.keys() - loaded.keys()), sorted(loaded.keys() - target.keys())
    if missing or surplus:
        raise ModelError(
            "MODEL_STATE_MISMATCH",
            f"{path.name} is of another model: {len(missing)} tensors missing, {len(surplus)} left over"
            f" ({', '.join((missing + surplus)[:3])}).",
            _OTHER_MODEL,
        )
    try:
        copy(loaded, target)
    except ModelError as error:
        raise ModelError(error.reason, f"{path.name} is of another model: {error.message}", _OTHER_MODEL) from error


def _write_program(deployed: Deployed, spec: ModelSpec, file: Path | BytesIO) -> None:
    # Two samples: torch takes a batch of one for a constant.
    example = torch.zeros((2, *spec.input.shape), dtype=getattr(torch, spec.input.data_type))
    try:
        program = torch.export.export(deployed, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, file, extra_files={SPEC_FILE: json.dumps(to_plain(spec))})
    except OSError:
        raise  # the disk's trouble, not the model's
    except Exception as error:
        raise ModelError(
            "MODEL_EXPORT_FAILED",
            f"torch cannot export {spec.architecture}: {_first_line(error)}",
            "Export safetensors instead.",
        ) from error


@torch.inference_mode()
def _verify(deployed: Deployed, program: nn.Module, spec: ModelSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, spec.input.data_type)
    for batch in VERIFY_BATCHES:
        uniform = torch.rand((batch, *spec.input.shape), generator=generator)
        raw = uniform.to(dtype) if dtype.is_floating_point else (uniform * torch.iinfo(dtype).max).to(dtype)
        expected, answer = deployed(raw), program(raw)
        if not torch.allclose(answer, expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise ModelError(
                "MODEL_EXPORT_DIFFERS",
                f"The exported {spec.architecture} answers differently,"
                f" by up to {float((answer - expected).abs().max()):.2g}.",
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
