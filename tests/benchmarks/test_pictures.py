"""The paper's other figures, against runs and models whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.paper import pictures, stability, summary, tasks
from benchmarks.paper.arms import DEFAULT, LEAST_SEEDS, conditions
from benchmarks.paper.costs import Costs
from benchmarks.paper.costs import write as write_costs
from benchmarks.paper.run import Curve
from benchmarks.paper.settings import Settings
from benchmarks.paper.simulator import deeper
from benchmarks.paper.store import Record
from titand.learning import scoring
from titand.learning.models.zoo import build


def ramps(settings, slope):
    """Runs whose accuracy rises by so much a point, seed by seed."""
    for seed in range(LEAST_SEEDS):
        points = tuple(100 * slope * point for point in range(1, 41))
        yield Record(settings.but(rate=0.1, seed=seed, rounds=1000), Curve(points, points, None, 0, 1.0), {})


def test_a_deeper_feature_leaves_the_model_what_it_is_and_follows_it():
    spec = tasks.load("digits").spec
    model = build(spec, seed=0).eval()
    x = torch.rand(4, *spec.input.shape)
    view = deeper(model, 4)
    assert torch.equal(view(x), model(x))
    assert not torch.equal(scoring.first_block_feature(view, x)[:, :8], scoring.first_block_feature(model, x)[:, :8])
    with torch.no_grad():
        model.head.bias += 1.0
    assert torch.equal(view(x), model(x))
    with pytest.raises(ValueError, match="depth"):
        deeper(model, 99)


def test_norms_of_a_model_that_hardly_moves_agree_with_themselves():
    found = stability.measure("digits", rate=1e-9, seeds=1)
    assert [len(by_lag) for by_lag in found.values()] == [len(stability.LAGS)] * len(stability.STAGES)
    # Running statistics of BatchNorm move at any rate; late in the run they have settled.
    assert min(values[0] for values in found["600"]) > 0.95


def test_correlations_come_back_as_they_were_kept(tmp_path):
    stability.write({"25": [[1.0], [0.5]]}, tmp_path / "stability-har.json", revision="x")
    assert stability.read(tmp_path / "stability-har.json") == {25: [[1.0], [0.5]]}
    assert stability.read(tmp_path / "stability-digits.json") is None


def test_a_sweep_has_a_row_for_each_number_of_candidates_in_ascending_order():
    records = list(ramps(Settings("har", "rs", 0, 0, 0), 1.0))
    for candidates in (100, 15, 50):
        records += ramps(Settings("har", "titan", 0, 0, 0, candidates=candidates), 2.0)
    section = pictures.sweep(conditions(records), "candidates")
    assert [row[2] for row in section.tables[0][2]] == ["15", "50", "100"]
    assert {row[-1].split()[0] for row in section.tables[0][2]} == {"0.53"}  # 20 of 40 points, smoothed over five
    assert pictures.sweep(conditions(records), "depth") is None


def test_round_times_side_by_side_are_the_longer_part(tmp_path):
    costs = Costs(train=0.01, feature=0.0, select={"is": 0.02, "titan-predicted": 0.004})
    write_costs(costs, tmp_path / "costs-har.json")
    ((_, header, (row,)),) = pictures.times(tmp_path).tables
    cells = dict(zip(header, row, strict=True))
    assert (cells["one after the other, ms"], cells["side by side, ms"]) == ("14.0", "10.0")
    assert cells["a sample, ms"] == "0.04"


def test_the_summary_sets_the_default_beside_the_paper():
    records = list(ramps(Settings("har", "rs", 0, 0, 0), 1.0))
    records += ramps(DEFAULT.but(task="har"), 2.0)
    records += ramps(Settings("har", "titan", 0, 0, 0, beta=0.5), 2.0)  # neither a method of the paper nor the default
    as_trained, averaged = summary.sections(conditions(records), pictures.RESULTS)
    rows = as_trained.tables[0][2]
    assert [row[1] for row in rows] == ["RS", "titan"]
    assert [row[-1] for row in rows] == ["1.00, 75.5 %", "0.71, 76.7 %"]
    assert averaged.tables[0][2][1][4] == rows[1][4]


def test_correlation_is_pearsons():
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal(50), generator.standard_normal(50)
    expected = ((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std())
    assert stability.correlation(a, b) == pytest.approx(expected)
