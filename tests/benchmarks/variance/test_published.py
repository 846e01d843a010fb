"""What is on file comes back, and onto the page."""

from __future__ import annotations

import dataclasses

from benchmarks.variance import report, store
from benchmarks.variance.__main__ import main
from benchmarks.variance.error import Error
from benchmarks.variance.store import Case, Record
from benchmarks.variance.trace import Conditions

ORIGIN = {"command": "some command", "revision": "abc", "machine": "some machine"}


def record(seed, mean, method="cis", capacity=30, **conditions):
    case = Case(Conditions("digits", seed, stage=1000, **conditions), method, capacity=capacity)
    return Record(case, Error(mean, mean, None), ORIGIN)


def test_a_record_comes_back_and_a_later_equal_one_replaces_it(tmp_path):
    store.append(record(0, 0.25, noise=0.2), tmp_path)
    store.append(record(1, 0.5), tmp_path)
    store.append(record(1, 0.75), tmp_path)

    assert list(store.records(tmp_path).values()) == [record(0, 0.25, noise=0.2), record(1, 0.75)]


def test_the_page_has_mean_and_interval_over_seeds():
    page = report.text([record(0, 0.1), record(1, 0.2), record(2, 0.3)])

    assert "| C-IS exact, whole window | 0.200 ± 0.248 |" in page  # 4.303 * 0.1 / sqrt(3)
    assert "some command" in page
    assert "some machine" in page
    assert "fashion-cnn" in page.partition("Not measured")[2]


def test_only_what_was_varied_alone_is_in_a_sweep():
    kept = [record(0, 0.25, "two-stage", capacity) for capacity in (15, 60)]
    both = [record(0, 0.75, "two-stage", capacity, noise=0.2) for capacity in (15, 60)]

    page = report.text(kept + both)

    assert "| C, after 1,000 rounds | 15 | 60 |" in page
    assert "0.250 (1 seed)" in page
    assert "0.750" not in page


def test_whole_model_figures_have_a_table_of_their_own():
    plain = record(0, 0.1)
    whole = dataclasses.replace(
        plain,
        case=dataclasses.replace(plain.case, conditions=dataclasses.replace(plain.case.conditions, whole_model=True)),
        error=Error(0.1, 0.1, 0.4),
    )

    page = report.text([whole])

    assert "| Last layer, after | 1,000 rounds |" in page
    assert "| All layers, after | 1,000 rounds |" in page
    assert "0.400 (1 seed)" in page


def test_a_run_measures_once_and_keeps_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "--data", "digits", "--stages", "2", "--seeds", "1", "--draws", "1", "--folder", str(tmp_path)]
    command += ["--methods", "rs,two-stage", "--candidates", "15,30"]

    assert main(command) == 0
    first = store.records(tmp_path)
    assert main(command) == 0

    assert store.records(tmp_path) == first
    assert sorted((r.case.method, r.case.capacity) for r in first.values()) == [
        ("rs", 30),
        ("two-stage", 15),
        ("two-stage", 30),
    ]
    assert capsys.readouterr().out.count("two-stage") == 2


def test_missing_data_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TITAND_DATA", str(tmp_path))

    assert main(["run", "--data", "har", "--stages", "0", "--folder", str(tmp_path)]) == 1

    output = capsys.readouterr().out
    assert output.count("har: not measured") == 1
    assert "motionsense-9axis-50hz.npz.xz" in output
