"""Exported files, loaded back and run without the code that made them."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from tests.learning.specs import DIGITS, MOTION, spec_of
from titand.errors import ModelError
from titand.learning.export import Deployed, load_pt2, load_safetensors_into, to_pt2
from titand.learning.models.zoo import ARCHITECTURES, build
from titand.records import ModelSpec, TensorSpec, model_spec_from_plain

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")  # torch's own


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if not a.startswith("resnet")])
def test_an_exported_program_answers_like_the_model_for_raw_input(architecture, tmp_path):
    shape = MOTION if architecture == "mlp" else DIGITS
    spec = ModelSpec(architecture, TensorSpec("uint8", shape), ("a", "b", "c"), scale=1 / 16, mean=(0.3,), std=(0.4,))
    model = build(spec, seed=1).train()

    to_pt2(model, spec, tmp_path / "model.pt2")

    assert model.training
    program, description = load_pt2(tmp_path / "model.pt2")
    raw = torch.randint(17, (5, *shape), dtype=torch.uint8)
    with torch.inference_mode():
        expected = Deployed(model, spec).eval()(raw)
        torch.testing.assert_close(program(raw), expected, rtol=1e-4, atol=1e-4)
    assert model_spec_from_plain(description) == spec


def test_a_consumer_needs_torch_alone(tmp_path):
    spec = spec_of("digits_cnn", DIGITS, data_type="uint8")
    path = tmp_path / "model.pt2"
    to_pt2(build(spec, seed=1), spec, path)
    code = f"""
import sys, torch
program = torch.export.load({str(path)!r}).module()
print(list(program(torch.zeros(3, 1, 8, 8, dtype=torch.uint8)).shape), "titand" in sys.modules)
"""

    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "[3, 10] False", done.stderr


def test_a_program_that_answers_differently_is_not_handed_out(tmp_path, monkeypatch):
    spec, other = spec_of("mlp", DIGITS), build(spec_of("mlp", DIGITS), seed=2)
    to_pt2(other, spec, tmp_path / "other.pt2")
    stranger = load_pt2(tmp_path / "other.pt2")
    monkeypatch.setattr("titand.learning.export.load_pt2", lambda path: stranger)  # a file damaged on its way

    with pytest.raises(ModelError) as caught:
        to_pt2(build(spec, seed=1), spec, tmp_path / "model.pt2")

    assert caught.value.reason == "MODEL_EXPORT_DIFFERS"


def test_a_model_that_torch_cannot_trace_is_said_to_be_so(tmp_path):
    spec = spec_of("mlp", DIGITS)
    model = build(spec, seed=1)
    model.rest.append(Fickle())

    with pytest.raises(ModelError) as caught:
        to_pt2(model, spec, tmp_path / "model.pt2")

    assert caught.value.reason == "MODEL_EXPORT_FAILED"
    assert "safetensors" in caught.value.remedy


class Fickle(torch.nn.Module):
    """Decides by its data what to do."""

    def forward(self, x):
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 and then nothing"])
def test_a_file_that_is_no_program_is_refused(content, tmp_path):
    (tmp_path / "model.pt2").write_bytes(content)

    with pytest.raises(ModelError, match="is not a"):
        load_pt2(tmp_path / "model.pt2")


def test_safetensors_come_back_with_buffers_and_counts(tmp_path):
    spec = spec_of("mobilenet_v1", DIGITS, width=0.25)
    source, target = build(spec, seed=1), build(spec, seed=2)
    source.first_block[1].num_batches_tracked.fill_(7)
    save_file(source.state_dict(), tmp_path / "model.safetensors")

    load_safetensors_into(target, tmp_path / "model.safetensors")

    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


@pytest.mark.parametrize(
    ("change", "reason", "word"),
    [
        (lambda t: t.pop("head.bias"), "MODEL_STATE_MISMATCH", "1 tensors missing, 0 left over"),
        (lambda t: t.update(extra=torch.zeros(1)), "MODEL_STATE_MISMATCH", "0 tensors missing, 1 left over"),
        (lambda t: t.update({"head.bias": torch.zeros(3)}), "MODEL_STATE_MISMATCH", "head.bias"),
        (lambda t: t.update({"head.bias": torch.zeros(10).half()}), "MODEL_STATE_MISMATCH", "float16"),
    ],
)
def test_safetensors_of_another_model_change_nothing(change, reason, word, tmp_path):
    model = build(spec_of("mlp", DIGITS), seed=1)
    tensors = dict(build(spec_of("mlp", DIGITS), seed=2).state_dict())
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    with pytest.raises(ModelError, match=word) as caught:
        load_safetensors_into(model, tmp_path / "model.safetensors")

    assert caught.value.reason == reason
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", json.dumps({"a": 1}).encode()])
def test_a_file_that_is_no_safetensors_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(ModelError) as caught:
        load_safetensors_into(build(spec_of("mlp", DIGITS), seed=1), tmp_path / "model.safetensors")

    assert caught.value.reason == "MODEL_FILE_INVALID"
