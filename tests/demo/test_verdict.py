"""The demo fails for each thing that is not as promised, and only then."""

from __future__ import annotations

import dataclasses

import pytest

from titan.records import Evaluation, HealthItem, PushTotals, SampleLedger, Selection, Training
from titand.demo import screen
from titand.demo.verdict import Outcome, complaints, interval

LEDGER = SampleLedger(1000, 0, 0, 50, 600, 140, 0, 100, 100, 0, 10, 3)
SELECTION = Selection(
    "cis", 30, 10, 2.5, 0.2, 9, (1, 9), "cpu", None, None, 0, "selecting", "SELECTING", "", "stratified", 1.0, None
)
TRAINING = Training(
    name="training",
    state="active",
    state_reason="",
    state_message="",
    state_time=None,
    daemon=None,
    model=None,
    round_count=10,
    last_round=None,
    sample_ledger=LEDGER,
    selection=SELECTION,
    evaluation=Evaluation(0.9, 0.05, 50, 10, None, None, ()),
    health=(),
    stages=(),
    streams=(),
    last_snapshot="",
    read_time=None,
)
TOTALS = PushTotals(1000, 1000, 0, 0, 0, 0, 0)
GOOD = Outcome(TRAINING, TOTALS, 100, 0.92, 360, 0.85, 0, ())


def changed(**fields):
    """GOOD with another training, made of TRAINING with these fields."""
    return dataclasses.replace(GOOD, training=dataclasses.replace(TRAINING, **fields))


def test_nothing_is_said_when_all_is_well():
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (dataclasses.replace(GOOD, accuracy=0.1), "did not learn"),
        (dataclasses.replace(GOOD, exit_status=-9), "status -9"),
        (dataclasses.replace(GOOD, left_behind=("123",)), "123"),
        (changed(sample_ledger=dataclasses.replace(LEDGER, filtered_count=599)), "not balance"),
        (changed(sample_ledger=None), "no ledger"),
        (changed(sample_ledger=dataclasses.replace(LEDGER, buffered_count=99, lost_count=1)), "1 samples were lost"),
        (dataclasses.replace(GOOD, totals=dataclasses.replace(TOTALS, pushed=1001)), "1001 samples were pushed"),
        (dataclasses.replace(GOOD, totals=dataclasses.replace(TOTALS, shed=3)), "3 samples were shed"),
        (dataclasses.replace(GOOD, totals=dataclasses.replace(TOTALS, rejected=4)), "4 samples were rejected"),
        (changed(selection=dataclasses.replace(SELECTION, staleness_round_counts=(2, 8))), "one-round delay"),
        (changed(selection=dataclasses.replace(SELECTION, staleness_round_counts=(1, 8, 1))), "one-round delay"),
        (changed(selection=dataclasses.replace(SELECTION, staleness_round_counts=())), "No round"),
        (changed(health=(HealthItem("X", "error", "The disk is full.", None),)), "disk is full"),
    ],
)
def test_each_broken_promise_is_named_once(outcome, said):
    (complaint,) = complaints(outcome)
    assert said in complaint


def test_a_warning_is_no_failure():
    assert complaints(changed(health=(HealthItem("X", "warning", "No jtop here.", None),))) == []


@pytest.mark.parametrize("n", [5, 40, 360])
def test_the_interval_covers_as_often_as_it_says(n):
    # By the binomial distribution itself: over all shares, Wilson's interval covers 95 % on average.
    from math import comb

    covered = []
    for p in [i / 200 for i in range(1, 200)]:
        z = 1.96
        chance = 0.0
        for k in range(n + 1):
            centre = (k / n + z * z / (2 * n)) / (1 + z * z / n)
            if abs(p - centre) <= interval(k / n, n):
                chance += comb(n, k) * p**k * (1 - p) ** (n - k)
        covered.append(chance)
    assert sum(covered) / len(covered) == pytest.approx(0.95, abs=0.015)


def test_a_line_shows_the_measured_and_a_dash_for_the_unknown():
    assert screen.progress(3, TRAINING).split() == [
        "3s",
        "10",
        "-",
        "0.90",
        "+-",
        "0.05",
        "2.50",
        "x",
        "1,000",
        "active",
    ]
    unknown = dataclasses.replace(TRAINING, sample_ledger=None, selection=None, evaluation=None, state="starting")
    assert screen.progress(0, unknown).split() == ["0s", "10", "-", "-", "-", "0", "starting"]
    assert screen.gain(unknown).startswith("Whether choosing pays was not measured")


@pytest.mark.parametrize(
    ("mean", "margin", "said"), [(2.5, 0.2, "Choosing pays"), (1.1, 0.2, "does not pay"), (0.7, 0.1, "does not pay")]
)
def test_choosing_pays_only_when_the_whole_interval_says_so(mean, margin, said):
    selection = dataclasses.replace(SELECTION, variance_ratio_mean=mean, variance_ratio_margin=margin)
    assert said in screen.gain(dataclasses.replace(TRAINING, selection=selection))


def test_the_account_adds_up_in_print():
    *lines, last = screen.account(LEDGER)
    printed = [int(line.split()[0].replace(",", "")) for line in lines]
    assert sum(printed) == int(last.split()[0].replace(",", ""))
    assert "NOT" not in last
    assert "NOT" in screen.account(dataclasses.replace(LEDGER, shed_count=1))[-1]
