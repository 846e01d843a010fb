"""The harness of the benchmarks: scaled runs stay beside what is kept, and the pages say what is kept."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest

import benchmarks.__main__ as harness
from benchmarks import compare, measure, tables
from benchmarks.paper import report as paper
from benchmarks.paper import store as runs
from benchmarks.variance import report, store

ROOT = Path(__file__).parents[2]
MACHINE = {"processor": "an abacus", "cores": 2, "load_average": 0.5}


def result(median, **more):
    summary = {"median": median, "least": median / 2, "most": 2 * median, "runs": 3}
    return {"command": "python -m benchmarks.x", "machine": MACHINE, "mlp": {"round_ms": summary}, **more}


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
def test_a_published_page_says_what_the_kept_results_say(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- end -->" in text
    assert tables.filled(text) == text, "python -m benchmarks.tables"


def test_the_page_on_variance_says_what_the_kept_measurements_say():
    published = report.PAGE.read_text(encoding="utf-8")
    assert published == report.text(store.records().values()), "python -m benchmarks.variance report"


@pytest.mark.nightly
def test_the_page_on_the_papers_evaluation_says_what_the_kept_runs_say(tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "benchmarks" / "results" / "paper"
    shutil.copytree(runs.FOLDER, folder)
    page = tmp_path / "docs" / paper.PAGE.name
    paper.write(folder, page)
    published = paper.PAGE.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8") == published, "python -m benchmarks.paper report"
    pictures = {path.name for path in runs.FOLDER.glob("*.png")}
    assert pictures == {path.name for path in folder.glob("*.png")} == set(re.findall(r"[\w.-]+\.png", published))


def test_every_benchmark_is_in_the_harness():
    programs = {path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py") if "__main__" in path.read_text()}
    packages = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py")}
    assert set(harness.BENCHMARKS) == (programs | packages) - {"tables", "__main__"}


def test_all_shares_are_less_than_an_hour_and_what_a_share_may_overrun():
    assert sum(benchmark.share for benchmark in harness.BENCHMARKS.values()) <= 55


def test_figures_stand_beside_the_kept_ones_with_their_ratio(tmp_path):
    for folder, median in (("kept", 4.0), ("now", 1.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.json").write_text(json.dumps(result(median, megabytes=10 * median)))
    (tmp_path / "now" / "new.json").write_text("{}")  # nothing to compare with

    page = compare.report(tmp_path / "kept", tmp_path / "now")

    assert "| mlp round_ms | 4 (2 to 8) | 1 (0.5 to 2) | 0.25 |" in page
    assert "| megabytes | 40 | 10 | 0.25 |" in page
    assert "load 0.5" in page
    assert "new" not in page
    assert "cores |" not in page


def test_a_result_goes_where_it_is_told_and_does_not_say_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", "--runs", "1", "--folder", str(tmp_path)])
    before = {path: path.read_bytes() for path in measure.RESULTS.glob("*.json")}

    measure.publish("ingest", tmp_path, {"a": 1.0})

    assert measure.read("ingest", tmp_path)["command"] == "python -m benchmarks.ingest --runs 1"
    assert str(tmp_path) not in (tmp_path / "ingest.json").read_text()
    assert {path: path.read_bytes() for path in measure.RESULTS.glob("*.json")} == before


def test_a_budget_ends_repetition_but_never_the_first():
    assert list(measure.repeats(3, minutes=1.0)) == [0, 1, 2]
    assert list(measure.repeats(3, minutes=0.0)) == [0]


def test_a_benchmark_that_fails_or_hangs_is_ended_and_named(tmp_path, capfd):
    assert not harness.run(("no_such_benchmark",), tmp_path / "a.txt", 1.0)
    assert "no_such_benchmark" in (tmp_path / "a.txt").read_text()
    start = time.monotonic()
    assert not harness.run(("filter_cost", "--repeats", "1000000"), tmp_path / "b.txt", 0.02)
    assert time.monotonic() - start < 30
    assert "filter_cost: stuck" in capfd.readouterr().out


def test_every_benchmark_of_the_harness_takes_its_arguments(tmp_path):
    for name, benchmark in harness.BENCHMARKS.items():
        output = tmp_path / f"{name}.txt"
        assert harness.run((name, *benchmark.arguments, "--help"), output, 2.0)
        options = set(re.findall(r"--\w+", output.read_text()))
        assert options >= ({"--budget", "--folder"} if benchmark.keeps else {"--budget"}), name
