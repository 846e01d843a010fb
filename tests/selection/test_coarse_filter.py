import json
from collections import Counter

import pytest
import torch

from tests.selection.streams import assert_unbiased
from titand.selection.coarse_filter import RULES, CoarseFilter

CLASSES, WIDTH = 4, 3


def coarse_filter(rule="stratified", capacity=12, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return CoarseFilter(CLASSES, capacity, WIDTH, rule=rule, generator=generator, **options)


def arrivals(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    label = torch.multinomial(torch.tensor([8.0, 4.0, 2.0, 1.0]), size, replacement=True, generator=generator)
    feature = torch.randn(size, WIDTH, generator=generator) + label.unsqueeze(1)
    return label, feature


def offer_all(coarse, label, feature, micro_batch=7):
    turned_away = []
    for i in range(0, len(label), micro_batch):
        part = slice(i, i + micro_batch)
        turned_away += coarse.offer(range(len(label))[part], label[part], feature[part])
    return turned_away


def even(count):
    return torch.full((count, CLASSES), 1 / CLASSES)


def taught(coarse, rounds=30):
    """The same filter after rounds in which the importance was |f|: easy to predict from the label."""
    for seed in range(rounds):
        label, feature = arrivals(60, seed)
        coarse.learn(label, feature, feature.norm(dim=1), even(60))
    return coarse


def surprised(coarse, rounds=60):
    """The same filter after rounds in which what the exit finds surprising is what is important."""
    for seed in range(rounds):
        label, feature = arrivals(60, seed)
        wrong = label.roll(1)
        right = torch.nn.functional.one_hot(label, CLASSES).float()
        coarse.learn(label, feature, torch.ones(60), right)
        coarse.learn(wrong, feature, 1 + 5 * (wrong != label).float(), right)
    return coarse


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("capacity", [1, 3, 12, 60, 100])
def test_every_arrival_is_either_turned_away_once_or_a_candidate(rule, capacity):
    coarse = coarse_filter(rule, capacity)
    label, feature = arrivals(60)

    turned_away = offer_all(coarse, label, feature)
    candidates = coarse.cut()

    assert sorted([*turned_away, *candidates.key]) == list(range(60))
    assert len(candidates.key) == min(capacity, 60)
    assert candidates.label.tolist() == label[list(candidates.key)].tolist()
    assert candidates.class_count.tolist() == torch.bincount(label, minlength=CLASSES).tolist()
    assert candidates.window_size == 60


@pytest.mark.parametrize("rule", ["stratified", "rep-div"])
def test_candidates_of_a_class_stand_for_exactly_its_arrivals(rule):
    coarse = coarse_filter(rule)
    label, feature = arrivals(200)
    offer_all(coarse, label, feature)

    candidates = coarse.cut()

    stands_for = torch.zeros(CLASSES, dtype=torch.float64)
    stands_for.index_add_(0, candidates.label, candidates.stage_weight)
    is_kept = stands_for > 0
    torch.testing.assert_close(stands_for[is_kept], candidates.class_count.double()[is_kept])


@pytest.mark.parametrize("rule", ["stratified", "predicted", "uniform"])
@pytest.mark.parametrize("capacity", [3, 12])
def test_sums_over_the_window_are_estimated_without_bias(rule, capacity):
    # Capacity 3 is less than the classes.
    label, feature = arrivals(50, seed=5)
    coarse = surprised(coarse_filter(rule, capacity))
    assert (len(set(coarse._sizes(label, feature))) > 1) == (rule == "predicted"), (
        "sizes that differ are among the cases"
    )
    of_interest = torch.cat([torch.eye(CLASSES)[label], feature], dim=1).double()

    estimate = []
    for _ in range(600):
        offer_all(coarse, label, feature, 25)
        candidates = coarse.cut()
        estimate.append(candidates.stage_weight @ of_interest[list(candidates.key)])

    assert_unbiased(torch.stack(estimate), of_interest.sum(0))


@pytest.mark.parametrize("rule", ["stratified", "predicted", "uniform"])
def test_sums_stay_unbiased_where_labels_of_candidates_are_corrected(rule):
    """Of a fifth of the arrivals a correction comes; it reaches those that are still there."""
    label, feature = arrivals(50, seed=5)
    truth = torch.where(torch.arange(50) % 5 == 0, (label + 1) % CLASSES, label)
    coarse = surprised(coarse_filter(rule))
    of_interest = torch.eye(CLASSES)[truth].double()

    estimate = []
    for _ in range(600):
        gone = set(offer_all(coarse, label, feature, 25))
        for key in set(range(50)) - gone:
            coarse.relabel(key, int(truth[key]))
        candidates = coarse.cut()
        assert candidates.label.tolist() == truth[list(candidates.key)].tolist()
        assert candidates.window_size == 50
        estimate.append(candidates.stage_weight @ of_interest[list(candidates.key)])

    assert_unbiased(torch.stack(estimate), of_interest.sum(0))


def test_a_label_that_cannot_be_is_refused_and_so_is_a_sample_that_is_no_candidate():
    coarse = coarse_filter(capacity=2)
    turned_away = coarse.offer([1, 2, 3], torch.tensor([0, 0, 0]), None)
    with pytest.raises(ValueError, match="outside 0 to 3"):
        coarse.relabel(next(key for key in (1, 2, 3) if key not in turned_away), CLASSES)
    with pytest.raises(KeyError):
        coarse.relabel(turned_away[0], 1)


def test_in_a_mixed_stream_every_sample_of_a_class_is_kept_equally_often():
    coarse = coarse_filter(capacity=10)
    label, feature = arrivals(30)
    kept = Counter()
    for _ in range(2000):
        offer_all(coarse, label, feature)
        kept.update(coarse.cut().key)

    slots = torch.tensor([sum(kept[i] for i in range(30) if label[i] == y) / 2000 for y in range(CLASSES)])
    assert slots.tolist() == [5, 3, 1, 1]  # 10 slots for 16, 12, 1 and 1 arrivals
    for i, y in enumerate(label.tolist()):
        p = float(slots[y]) / int((label == y).sum())
        assert abs(kept[i] / 2000 - p) <= 5 * (p * (1 - p) / 2000) ** 0.5


def test_an_untrained_predictor_decides_as_the_stratified_rule_does():
    label, feature = arrivals(100)
    stratified, predicted = coarse_filter("stratified"), coarse_filter("predicted")

    assert offer_all(stratified, label, feature) == offer_all(predicted, label, feature)


def test_a_trained_predictor_keeps_samples_of_larger_importance():
    label, feature = arrivals(400, seed=77)
    learned = surprised(coarse_filter("predicted", capacity=100))
    mislabelled = label.roll(1)
    offer_all(learned, mislabelled, feature)
    kept = list(learned.cut().key)
    control = coarse_filter("stratified", capacity=100)
    offer_all(control, mislabelled, feature)
    kept_by_chance = list(control.cut().key)

    wrong = (mislabelled != label).float()
    assert wrong[kept].mean() > wrong[kept_by_chance].mean() + 0.05


def test_the_published_queue_fills_with_the_class_that_scatters_most():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(400) % CLASSES
    scatter = torch.tensor([0.1, 5.0, 0.1, 0.1])
    feature = torch.randn(400, WIDTH, generator=generator) * scatter[label].unsqueeze(1)
    coarse = coarse_filter("rep-div", capacity=30)

    offer_all(coarse, label, feature)

    assert set(coarse.cut().label.tolist()) == {1}


@pytest.mark.parametrize("rule", ["stratified", "uniform"])
def test_rules_that_need_no_feature_decide_the_same_without(rule):
    label, feature = arrivals(100)
    with_feature, without = coarse_filter(rule), coarse_filter(rule)

    assert not without.needs_feature
    turned_away = without.offer(range(100), label, None)
    assert turned_away == with_feature.offer(range(100), label, feature)


@pytest.mark.parametrize("rule", ["predicted", "rep-div"])
def test_rules_that_need_a_feature_say_so(rule):
    coarse = coarse_filter(rule)

    assert coarse.needs_feature
    with pytest.raises(ValueError, match="needs features"):
        coarse.offer([0], torch.tensor([0]), None)


@pytest.mark.parametrize("rule", RULES)
def test_a_feature_that_is_not_finite_harms_no_later_decision(rule):
    label, feature = arrivals(60)
    broken = feature.clone()
    broken[3, 1], broken[4, 0] = float("nan"), float("inf")
    coarse = taught(coarse_filter(rule, capacity=20), rounds=3)

    offer_all(coarse, label, broken)
    coarse.cut()
    coarse.learn(label, broken, torch.full((60,), float("nan")), even(60))
    coarse.learn(label, broken, torch.ones(60), torch.full((60, CLASSES), float("nan")))

    learned = {name: tensor for name, tensor in coarse.state().items() if name != "generator"}
    assert all(tensor.isfinite().all() for tensor in learned.values())


@pytest.mark.parametrize("rule", RULES)
def test_a_restored_filter_goes_on_as_the_uninterrupted_one(rule):
    label, feature = arrivals(150)
    first = surprised(coarse_filter(rule), rounds=20)
    offer_all(first, label[:50], feature[:50])
    first.cut()
    successor = coarse_filter(rule, seed=99)
    successor.restore(first.state())

    for part in (slice(50, 100), slice(100, 150)):
        assert offer_all(first, label[part], feature[part]) == offer_all(successor, label[part], feature[part])
        one, other = first.cut(), successor.cut()
        assert one.key == other.key
        assert one.stage_weight.tolist() == other.stage_weight.tolist()
        first.learn(label[part], feature[part], feature[part].norm(dim=1), even(50))
        successor.learn(label[part], feature[part], feature[part].norm(dim=1), even(50))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("capacity", [3, 12])
def test_a_restored_window_goes_on_as_the_uninterrupted_one_under_other_keys(rule, capacity):
    # Capacity 3 is less than the classes. The window goes through JSON, as in a checkpoint.
    label, feature = arrivals(90)
    first = surprised(coarse_filter(rule, capacity), rounds=20)
    gone = set(offer_all(first, label[:50], feature[:50]))
    plain = json.loads(json.dumps(first.window()))
    key_of = {key: 1000 + key for key in range(50) if key not in gone}
    successor = coarse_filter(rule, capacity, seed=99)
    successor.restore(first.state())

    successor.restore_window(plain, key_of)

    keys = range(100, 140)
    turned_away = first.offer(keys, label[50:], feature[50:])
    assert successor.offer(keys, label[50:], feature[50:]) == [key_of.get(key, key) for key in turned_away]
    one, other = first.cut(), successor.cut()
    assert other.key == tuple(key_of.get(key, key) for key in one.key)
    for name in ("label", "stage_weight", "class_count"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_a_window_of_another_rule_is_refused():
    coarse = coarse_filter("stratified")

    with pytest.raises(ValueError, match="filtered by the rule 'uniform'"):
        coarse.restore_window(coarse_filter("uniform").window(), {})


def test_only_the_rule_over_all_classes_gives_candidates_that_were_not_kept_by_class():
    assert [rule for rule in RULES if not coarse_filter(rule).cut().by_class] == ["uniform"]


def test_in_the_published_queue_the_older_of_equal_ones_goes_first():
    coarse = coarse_filter("rep-div", capacity=2)

    turned_away = coarse.offer([7, 5, 9, 4], torch.zeros(4, dtype=torch.int64), torch.ones(4, WIDTH))

    assert turned_away == [7, 5]


def test_it_does_so_also_after_a_restart_whatever_the_keys_are_then():
    coarse, successor = coarse_filter("rep-div", capacity=2), coarse_filter("rep-div", capacity=2)
    coarse.offer([7, 5], torch.zeros(2, dtype=torch.int64), torch.ones(2, WIDTH))
    successor.restore(coarse.state())
    successor.restore_window(coarse.window(), {7: 1007, 5: 1005})

    assert successor.offer([3, 2], torch.zeros(2, dtype=torch.int64), torch.ones(2, WIDTH)) == [1007, 1005]


def test_a_feature_that_is_not_finite_leaves_the_sizes_of_the_others_where_they_belong():
    # The broken one comes first: were its row left out of the sizes, each would get that of the next.
    coarse = surprised(coarse_filter("predicted", capacity=100), rounds=20)
    label, feature = arrivals(60)
    feature[0, 0] = float("nan")
    expected = coarse._early_exit.size(label[1:], feature[1:])
    assert expected.std() > 0

    coarse.offer(range(60), label, feature)

    size = {item["key"]: item["size"] for item in held(coarse)}
    assert size[0] == 1.0
    assert [size[key] for key in range(1, 60)] == pytest.approx(expected.tolist())


def held(coarse):
    """Key and size of what is in the open window."""
    for _, inside in coarse.window()["buffer"]["strata"]:
        for _, _, key, size in inside["own"]:
            yield {"key": key, "size": size}


def test_a_state_is_a_copy():
    coarse = coarse_filter()
    before = coarse.state()
    offer_all(coarse, *arrivals(50))

    assert before["statistics.weight"].sum() == 0


def test_the_state_of_another_rule_or_model_is_refused():
    with pytest.raises(ValueError, match=r"lacks early_exit\.moment"):
        coarse_filter("predicted").restore(coarse_filter("stratified").state())
    other = CoarseFilter(CLASSES, 5, WIDTH + 1, generator=torch.Generator())
    with pytest.raises(ValueError, match="mean: expected shape"):
        coarse_filter().restore(other.state())


def test_a_lowered_capacity_takes_effect_with_the_next_offer():
    coarse = coarse_filter(capacity=20)
    label, feature = arrivals(60)
    offer_all(coarse, label, feature)

    coarse.capacity = 6
    turned_away = coarse.offer([], label[:0], feature[:0])

    assert len(turned_away) == 14
    candidates = coarse.cut()
    assert len(candidates.key) == 6
    assert candidates.stage_weight.sum().item() == pytest.approx(60)


def test_an_empty_window_has_no_candidates():
    candidates = coarse_filter().cut()

    assert candidates.key == ()
    assert candidates.window_size == 0
    assert candidates.stage_weight.shape == (0,)


def test_windows_do_not_know_of_each_other():
    coarse = coarse_filter(capacity=5)
    label, feature = arrivals(60)
    offer_all(coarse, label, feature)
    coarse.cut()

    assert coarse.offer(range(5), label[:5], feature[:5]) == []
    candidates = coarse.cut()
    assert candidates.stage_weight.tolist() == [1.0] * 5
    assert candidates.window_size == 5


def test_class_statistics_fade_with_every_window():
    coarse = coarse_filter(decay=0.5)
    label, feature = arrivals(60)
    count = torch.bincount(label, minlength=CLASSES).double()

    for faded in (0.5, 0.75, 0.875):
        offer_all(coarse, label, feature)
        coarse.cut()
        torch.testing.assert_close(coarse.state()["statistics.weight"], faded * count)


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_a_label_out_of_range_is_refused_before_anything_changes(label):
    coarse = coarse_filter()

    with pytest.raises(ValueError, match="outside 0 to 3"):
        coarse.offer([0, 1], torch.tensor([0, label]), None)

    assert coarse.cut().window_size == 0


def test_keys_and_labels_must_match():
    with pytest.raises(ValueError, match="3 keys for 2 labels"):
        coarse_filter().offer([0, 1, 2], torch.tensor([0, 1]), None)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ValueError, match="'stratify'; the nearest one is 'stratified'"):
        coarse_filter("stratify")


@pytest.mark.parametrize("capacity", [0, -3])
def test_a_capacity_below_one_is_refused(capacity):
    with pytest.raises(ValueError, match="candidate capacity"):
        coarse_filter(capacity=capacity)
