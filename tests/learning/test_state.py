"""The flat state: aligned, complete, shared without copying."""

import mmap

import pytest
import torch

from tests.learning.specs import DIGITS, spec_of
from titand.errors import ModelError
from titand.learning.models.zoo import ARCHITECTURES, build
from titand.learning.optimizers import build_optimizer
from titand.learning.schedules import constant
from titand.learning.state import ALIGNMENT_BYTES, Binding, StateLayout, bind, copy, model_tensors
from titand.learning.trainer import Learner


def small_model(seed=1):
    return build(spec_of("mobilenet_v1", DIGITS, width=0.25), seed)


def new_state(tensors):
    layout = StateLayout.of(tensors)
    buffer = bytearray(layout.size_bytes)
    return buffer, layout.views(buffer)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_has_its_own_aligned_place(architecture):
    model = build(spec_of(architecture, DIGITS), seed=1)

    layout = StateLayout.of(model_tensors(model))

    assert [entry.name for entry in layout.entries] == list(model.state_dict())
    end = 0
    for entry in layout.entries:
        assert entry.offset % ALIGNMENT_BYTES == 0
        assert end <= entry.offset < end + ALIGNMENT_BYTES
        end = entry.offset + entry.size_bytes
    payload = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert payload <= end <= layout.size_bytes < payload + ALIGNMENT_BYTES * len(layout.entries)


def test_views_share_the_bytes_with_the_buffer():
    buffer, view = new_state({"pad": torch.zeros(3, dtype=torch.uint8), "number": torch.zeros(2, dtype=torch.int16)})

    view["number"][1] = 0x0102
    buffer[0] = 9

    assert bytes(buffer[64:68]) == b"\x00\x00\x02\x01"
    assert view["pad"].tolist() == [9, 0, 0]


@pytest.mark.parametrize("kind", ["bytearray", "memoryview", "mmap"])
def test_bytes_of_any_origin_will_do(kind):
    model = small_model()
    layout = StateLayout.of(model_tensors(model))
    size = layout.size_bytes + 100  # a mapping is rounded up to pages
    buffer = {
        "bytearray": bytearray,
        "memoryview": lambda n: memoryview(bytearray(n)),
        "mmap": lambda n: mmap.mmap(-1, n),
    }
    view = layout.views(buffer[kind](size))

    copy(model_tensors(model), view)

    assert all(torch.equal(view[name], tensor) for name, tensor in model.state_dict().items())


def test_read_only_memory_can_be_scored_from():
    model, reader = small_model(seed=1), small_model(seed=2).eval()
    buffer, view = new_state(model_tensors(model))
    copy(model_tensors(model), view)
    layout = StateLayout.of(model_tensors(reader))

    bind(model_tensors(reader), layout.views(memoryview(bytes(buffer))))

    x = torch.randn(3, *DIGITS)
    with torch.inference_mode():
        assert torch.equal(reader(x), model.eval()(x))


def test_a_bound_model_trains_in_the_shared_bytes():
    model = small_model()
    learner = Learner(model, build_optimizer("sgd", dict(model.named_parameters()), momentum=0.9), constant(0.1))
    buffer, view = new_state(learner.tensors())
    copy(learner.tensors(), view)
    bind(learner.tensors(), view)
    before = bytes(buffer)

    learner.step(torch.randn(4, *DIGITS), torch.tensor([0, 1, 2, 3]), torch.ones(4), round=1)

    entries = StateLayout.of(learner.tensors()).entries
    changed = {e.name for e in entries if before[e.offset :][: e.size_bytes] != buffer[e.offset :][: e.size_bytes]}
    assert changed == set(view)  # parameters, statistics, counts and momentum alike
    assert view["first_block.1.num_batches_tracked"].item() == 1


def test_pointing_at_the_other_slot_changes_the_answer_and_no_identity():
    first, second, live = small_model(seed=1).eval(), small_model(seed=2).eval(), small_model(seed=3).eval()
    _, slot_0 = new_state(model_tensors(first))
    _, slot_1 = new_state(model_tensors(first))
    copy(model_tensors(first), slot_0)
    copy(model_tensors(second), slot_1)
    parameters = list(live.parameters())
    binding = Binding(model_tensors(live), [slot_0, slot_1])
    x = torch.randn(2, *DIGITS)

    with torch.inference_mode():
        for index in (0, 1, 0):
            binding.point(index)
            assert torch.equal(live(x), (first, second)[index](x))
    assert all(a is b for a, b in zip(parameters, live.parameters(), strict=True))
    assert live.head.weight.data_ptr() == slot_0["head.weight"].data_ptr()


def test_the_model_is_a_prefix_of_the_state_of_its_training():
    model = small_model()
    learner = Learner(model, build_optimizer("sgd", dict(model.named_parameters()), momentum=0.9), constant(0.1))

    alone = StateLayout.of(model_tensors(model)).entries
    training = StateLayout.of(learner.tensors()).entries

    assert training[: len(alone)] == alone
    assert {entry.name for entry in training[len(alone) :]} == {f"momentum/{n}" for n, _ in model.named_parameters()}


def test_two_states_of_one_layout_can_be_copied_as_bytes():
    model = small_model()
    source, view = new_state(model_tensors(model))
    target, copied = new_state(model_tensors(model))
    copy(model_tensors(model), view)

    memoryview(target)[:] = source

    assert all(torch.equal(copied[name], tensor) for name, tensor in model.state_dict().items())


def test_a_buffer_that_is_too_small_is_refused():
    layout = StateLayout.of({"weight": torch.zeros(100)})

    with pytest.raises(ModelError, match="448 bytes, the buffer has 447"):
        layout.views(bytearray(layout.size_bytes - 1))


@pytest.mark.parametrize(
    "state",
    [{}, {"weight": torch.zeros(3)}, {"weight": torch.zeros(2, dtype=torch.float64)}],
    ids=["missing", "other shape", "other type"],
)
@pytest.mark.parametrize("act", [copy, bind])
def test_a_state_of_another_model_is_refused(act, state):
    with pytest.raises(ModelError, match="weight") as caught:
        act({"weight": torch.zeros(2)}, state)

    assert caught.value.reason == "MODEL_STATE_MISMATCH"
