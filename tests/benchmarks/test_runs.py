"""Runs are repeatable, kept, never repeated, and the pages follow from what is kept."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import torch

from benchmarks.paper import costs, report, store, tasks
from benchmarks.paper.__main__ import grid, main, parse
from benchmarks.paper.arms import LEAST_SEEDS, conditions
from benchmarks.paper.averaging import Average
from benchmarks.paper.costs import Costs
from benchmarks.paper.methods import METHODS
from benchmarks.paper.run import Curve, arrivals, run
from benchmarks.paper.settings import Settings, settings_of
from benchmarks.paper.store import Record
from benchmarks.paper.tables import row
from titand.learning.models.zoo import build

SMALL = ["run", "--task", "digits", "--methods", "rs,titan", "--lrs", "0.05", "--rounds", "50", "--seeds", "1"]


def kept(folder):
    return (folder / "digits.jsonl").read_text().splitlines()


def curve_of(values, gain=None):
    points = tuple(values)
    return Curve(points, points, gain, 0, 1.0)


def ramp_records(slopes, seeds=LEAST_SEEDS, **changes):
    """Runs whose accuracy rises by so much a point, by method; seeds differ a little."""
    for method, slope in slopes.items():
        for seed in range(seeds):
            settings = Settings("digits", method, 0.1, seed, 1000, **changes)
            yield Record(settings, curve_of(100 * slope * point + seed for point in range(1, 41)), {"revision": "x"})


def test_two_runs_are_equal_bit_for_bit():
    settings = Settings("digits", "titan", 0.05, seed=1, rounds=50)
    first, second = run(settings), run(settings)
    assert first.accuracy == second.accuracy
    assert first.average_accuracy == second.average_accuracy
    assert first.gain == second.gain
    assert len(first.accuracy) == 2


def test_another_seed_is_another_run():
    settings = Settings("digits", "titan", 0.05, seed=1, rounds=50)
    assert run(settings).accuracy != run(settings.but(seed=2)).accuracy


def test_a_run_that_is_on_file_is_not_repeated(tmp_path, capsys):
    main([*SMALL, "--folder", str(tmp_path)])
    before = kept(tmp_path)
    assert len(before) == 2
    main([*SMALL, "--folder", str(tmp_path)])
    assert kept(tmp_path) == before
    assert "0 runs to do, 2 on file" in capsys.readouterr().out


def test_what_a_spent_budget_left_is_done_by_the_next_call(tmp_path):
    main([*SMALL, "--budget", "0", "--folder", str(tmp_path)])
    assert len(kept(tmp_path)) == 1  # one is begun before the clock is looked at
    main([*SMALL, "--folder", str(tmp_path)])
    assert [json.loads(line)["settings"]["method"] for line in kept(tmp_path)] == ["rs", "titan"]


def test_runs_side_by_side_are_the_runs_one_after_the_other(tmp_path):
    for jobs in ("1", "2"):
        main([*SMALL, "--jobs", jobs, "--folder", str(tmp_path / jobs)])
    one, two = ({each.settings.key: each.curve.accuracy for each in store.records(tmp_path / j)} for j in ("1", "2"))
    assert one == two
    assert len(one) == 2


def test_a_line_names_its_command_revision_and_machine(tmp_path):
    main([*SMALL, "--methods", "rs", "--folder", str(tmp_path)])
    origin = json.loads(kept(tmp_path)[0])["origin"]
    assert origin["command"].startswith("python -m benchmarks.paper run --task digits")
    assert re.fullmatch("[0-9a-f]{7,}", origin["revision"])
    assert "cores" in origin["machine"]


def test_a_record_comes_back_as_it_was_kept(tmp_path):
    record = Record(Settings("har", "is", 0.1, 3, 50, beta=0.5), curve_of([1, 2], 3.5), {"revision": "x"})
    store.append(record, tmp_path)
    assert store.records(tmp_path) == [record]


def test_of_two_equal_settings_the_later_run_counts(tmp_path):
    settings = Settings("har", "is", 0.1, 3, 50)
    for value in (1, 2):
        store.append(Record(settings, curve_of([value]), {}), tmp_path)
    assert [record.curve.accuracy for record in store.records(tmp_path)] == [(2,)]


def test_settings_come_back_from_their_plain_form():
    settings = Settings("har", "is", 0.1, 3, 50, noise=0.2, delay=False)
    assert settings_of(json.loads(settings.key)) == settings


def test_options_that_a_method_does_not_have_make_no_runs_of_their_own():
    options = parse([*SMALL, "--methods", "rs,is,titan", "--beta", "1,0", "--candidates", "15,30"])
    count = {name: 0 for name in ("rs", "is", "titan")}
    for settings in {each.key: each for each in grid(options)}.values():
        count[settings.method] += 1
    assert count == {"rs": 1, "is": 2, "titan": 4}


def test_twice_the_slope_is_half_the_rounds_in_the_table():
    (condition,) = conditions(ramp_records({"rs": 1.0, "titan": 2.0}))
    found = row(condition.arms["titan"], condition.reference, 1000, None, averaged=False)
    assert found.ratio.value == pytest.approx(0.5, abs=0.03)
    assert found.is_reached
    assert found.gap.value == pytest.approx(38.0)  # 40 points, smoothed over five: 38 of 76


def test_by_the_clock_others_pay_for_selection_and_the_service_for_the_longer_part():
    (condition,) = conditions(ramp_records({"rs": 1.0, "is": 1.0, "titan": 1.0}))
    costs = Costs(train=0.01, feature=0.0, select={"rs": 0.0, "is": 0.02, "titan": 0.004})
    seconds = {
        name: row(arm, condition.reference, 1000, costs, False).seconds_ratio for name, arm in condition.arms.items()
    }
    assert seconds == pytest.approx({"RS": 1.0, "IS": 3.0, "titan": 1.0})


def test_a_method_that_never_gets_there_says_so():
    (condition,) = conditions(ramp_records({"rs": 1.0, "ll": 0.2}))
    found = row(condition.arms["LL"], condition.reference, 1000, None, averaged=False)
    assert (found.is_reached, found.rounds) == (False, 1000)
    assert "never" in found.cells()


def test_too_few_seeds_are_not_published():
    assert conditions(ramp_records({"rs": 1.0}, seeds=LEAST_SEEDS - 1)) == []


def test_runs_on_other_data_are_never_compared():
    records = [*ramp_records({"rs": 1.0}), *ramp_records({"titan": 2.0}, noise=0.2)]
    assert [sorted(condition.arms) for condition in conditions(records)] == [["RS"], ["titan"]]


def test_the_best_rate_of_each_method_is_its_own():
    records = list(ramp_records({"rs": 1.0, "titan": 2.0}))
    records += [
        Record(each.settings.but(rate=0.2), curve_of(2 * value for value in each.curve.accuracy), {})
        for each in ramp_records({"rs": 1.0})
    ]
    (condition,) = conditions(records)
    assert condition.arms["RS"].best_rate() == 0.2
    assert condition.arms["titan"].best_rate() == 0.1


def test_the_pages_are_rebuilt_from_what_is_kept(tmp_path, capsys):
    for record in ramp_records({"rs": 1.0, "titan": 2.0}):
        store.append(record, tmp_path)
    pages = []
    for _ in range(2):
        report.write(tmp_path, tmp_path / "page.md")
        pages.append([(tmp_path / name).read_bytes() for name in ("page.md", "report.html")])
    assert pages[0] == pages[1]
    markdown, page = (each.decode() for each in pages[0])
    assert "| titan | 0.1 | 5 |" in markdown
    assert "<td>titan</td><td>0.1</td><td>5</td>" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # self-contained


def test_a_kept_run_that_is_repeated_is_equal_and_a_forged_one_is_found_out(tmp_path, capsys):
    main([*SMALL, "--methods", "rs", "--folder", str(tmp_path)])
    assert main(["check", "--folder", str(tmp_path)]) == 0
    assert "equal" in capsys.readouterr().out
    (record,) = store.records(tmp_path)
    better = Curve((9900, 9900), (9900, 9900), None, 0, 1.0)
    store.append(Record(record.settings, better, record.origin), tmp_path)
    assert main(["check", "--folder", str(tmp_path)]) == 1


def test_costs_are_measured_for_every_method_and_kept(tmp_path):
    main(["costs", "--task", "digits", "--folder", str(tmp_path)])
    found = costs.read(tmp_path / "costs-digits.json")
    assert set(found.select) == set(METHODS)
    assert min(found.train, found.feature, *found.select.values()) > 0


def test_arms_with_other_seeds_are_compared_on_those_that_both_have():
    records = [*ramp_records({"rs": 1.0}, seeds=8), *ramp_records({"titan": 2.0})]
    (condition,) = conditions(records)
    found = row(condition.arms["titan"], condition.reference, 1000, None, averaged=False)
    assert len(condition.reference.seeds[0.1]) == 8
    assert found.gap.value == pytest.approx(38.0)  # seeds 5 to 7 are of the reference alone, and higher
    assert found.gap.high == pytest.approx(found.gap.low)


def test_noise_and_imbalance_reach_the_windows():
    train = tasks.load("digits").dataset.train
    settings = Settings("digits", "rs", 0.05, seed=0, rounds=14)
    clean, noisy, rare = (
        torch.cat([label for _, label in itertools.islice(arrivals(train, each), 14)])
        for each in (settings, settings.but(noise=0.2), settings.but(imbalance=10.0))
    )
    assert (clean != noisy).double().mean() == pytest.approx(0.2, abs=0.01)  # 1,400 of 1,437 samples
    assert torch.bincount(rare)[0] > 4 * torch.bincount(rare)[9]


def test_replay_adds_earlier_samples_to_each_window():
    settings = Settings("digits", "rs", 0.05, seed=0, rounds=3, replay=0.25)
    sizes = [len(label) for _, label in itertools.islice(arrivals(tasks.load("digits").dataset.train, settings), 3)]
    assert sizes == [100, 125, 125]
    settings = settings.but(replay=0.0)
    assert len(next(arrivals(tasks.load("digits").dataset.train, settings))[1]) == 100


def test_the_average_of_a_model_that_stands_still_is_the_model():
    model = build(tasks.load("digits").spec, seed=0)
    average = Average(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1.0
    for _ in range(200):
        average.follow()
    for own, live in zip(average.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(own, live, atol=1e-4)


def test_the_average_forgets_by_its_decay():
    model = build(tasks.load("digits").spec, seed=0)
    average = Average(model, decay=0.5)
    expected = average.model.head.bias.detach().clone()
    for round in range(1, 6):
        with torch.no_grad():
            model.head.bias += 1.0
        average.follow()
        decay = min(0.5, (1 + round) / (10 + round))
        expected = decay * expected + (1 - decay) * model.head.bias.detach()
    assert torch.allclose(average.model.head.bias, expected)


def test_a_check_leaves_out_what_it_has_no_data_or_no_time_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TITAND_DATA", str(tmp_path))
    slow = Curve((0,), (0,), None, 0, seconds=600.0)
    store.append(Record(Settings("cifar-alexnet", "rs", 0.1, 0, 50), curve_of([0]), {}), tmp_path)
    store.append(Record(Settings("digits", "rs", 0.1, 0, 50), slow, {}), tmp_path)
    assert main(["check", "--folder", str(tmp_path), "--budget", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("cifar-alexnet is left out: ")
