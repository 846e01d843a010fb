"""Watching and steering the training through a real server."""

import grpc
import pytest

from tests.front.house import SECONDS, eventually, info_of
from titan.v1.training_service_pb2 import (
    GetTrainingRequest,
    PauseTrainingRequest,
    ResumeTrainingRequest,
    RollbackTrainingRequest,
    Training,
    WatchTrainingRequest,
)
from titand.storage.snapshots import SnapshotStore

SUPERVISOR = {"state": "running", "processes": [{"name": "trainer", "pid": 4}, {"name": "selector", "pid": 5}]}


def at_work(house, round=1, state="active", **trainer):
    """Let all boards say that training goes on."""
    house.boards.write("supervisor", SUPERVISOR)
    house.boards.write("selector", {"device": "cpu"})
    house.boards.write("trainer", {"state": state, "round": round, **trainer})


def training_of(stubs):
    return stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS)


def test_the_training_is_shown_as_the_boards_have_it(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        assert training_of(stubs).state == Training.STATE_STARTING
        at_work(here, round=3)
        assert (training_of(stubs).state, training_of(stubs).round_count) == (Training.STATE_ACTIVE, 3)


def test_a_worker_without_a_process_or_a_sign_of_life_is_not_taken_for_alive(house):
    here = house()
    with here.front(), here.stubs() as stubs:
        at_work(here)
        dead = {"name": "trainer", "pid": 0, "restart_count": 1}
        here.boards.write("supervisor", {**SUPERVISOR, "processes": [dead]})
        training = training_of(stubs)
        assert (training.state, training.state_reason) == (Training.STATE_STARTING, "WORKER_RESTARTING")
        at_work(here)
        here.boards.clear("selector")
        assert training_of(stubs).state == Training.STATE_STARTING


def test_a_watch_shows_the_training_now_and_whenever_a_round_has_ended(house):
    here = house()
    at_work(here, round=1)
    with here.front(), here.stubs() as stubs:
        watch = stubs.training.WatchTraining(WatchTrainingRequest(), timeout=SECONDS)
        assert next(watch).training.round_count == 1
        here.boards.write("trainer", {"state": "active", "round": 1, "written_today_bytes": 5})  # no news
        at_work(here, round=2)
        assert next(watch).training.round_count == 2
        at_work(here, round=2, state="waiting")
        assert next(watch).training.state == Training.STATE_WAITING


def test_a_watch_ends_with_its_client_and_with_the_daemon(house):
    here = house()
    with here.stubs() as stubs:
        with here.front() as front:
            leaving = stubs.training.WatchTraining(WatchTrainingRequest(), timeout=SECONDS)
            next(leaving)
            leaving.cancel()
            eventually(lambda: front.streams.long_count == 0)
            staying = stubs.training.WatchTraining(WatchTrainingRequest(), timeout=SECONDS)
            next(staying)
        with pytest.raises(grpc.RpcError) as caught:
            next(staying)
        assert (caught.value.code(), info_of(caught.value).reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "DAEMON_STOPPING",
        )


def test_pause_and_resume_are_written_down_and_the_trainer_is_woken(house):
    woken = []
    here = house(trainer={"wake": lambda: woken.append(here.boards.read("wishes").content["paused"]) or {}})
    at_work(here)
    with here.front(), here.stubs("admin.sock") as admin:
        paused = admin.training.PauseTraining(PauseTrainingRequest(note="lunch"), timeout=SECONDS).training
        assert (paused.state, paused.state_reason) == (Training.STATE_ACTIVE, "PAUSING")
        at_work(here, state="paused")
        training = training_of(admin)
        assert (training.state, "lunch" in training.state_message) == (Training.STATE_PAUSED, True)
        resumed = admin.training.ResumeTraining(ResumeTrainingRequest(), timeout=SECONDS).training
        assert (resumed.state, resumed.state_reason) == (Training.STATE_PAUSED, "RESUMING")  # until it has seen it
        at_work(here)
        assert training_of(admin).state_reason == "TRAINING"
        assert woken == [True, False]


def test_a_pause_of_the_guard_says_why_and_is_lifted_by_resuming(house):
    pause = {"reason": "ROLLED_BACK_REPEATEDLY", "message": "It did not help.", "since_ns": 5}
    resumed = []
    here = house(trainer={"wake": dict, "resume": lambda: resumed.append(True) or {}})
    at_work(here, state="paused", guard={"pause": pause})
    with here.front(), here.stubs("admin.sock") as admin:
        training = training_of(admin)
        assert (training.state, training.state_reason) == (Training.STATE_PAUSED, "ROLLED_BACK_REPEATEDLY")
        assert training.state_message == "It did not help."
        admin.training.ResumeTraining(ResumeTrainingRequest(), timeout=SECONDS)
        assert resumed == [True]
        admin.training.PauseTraining(PauseTrainingRequest(note="lunch"), timeout=SECONDS)
        assert training_of(admin).state_reason == "PAUSED_ON_REQUEST"
        admin.training.ResumeTraining(ResumeTrainingRequest(), timeout=SECONDS)
        assert here.boards.read("wishes").content["paused"] is False


def test_a_rollback_is_done_by_the_trainer_to_a_snapshot_that_is_there(house):
    asked = []

    def rollback(name, note):
        asked.append((name, note))
        return {"round": 9, "source": name, "reason": "REQUESTED", "message": "Rolled back.", "time_ns": 7}

    here = house(trainer={"rollback": rollback})
    store = SnapshotStore(here.folder / "snapshots")
    for round in (1, 2):
        store.create(round, [b"model"], model=here.config.model_spec, create_time_ns=1)
    store.promote("r00000001")
    with here.front(), here.stubs("admin.sock") as admin:
        for name in ("snapshots/best", "snapshots/latest", "snapshots/r00000001"):
            request = RollbackTrainingRequest(snapshot=name, note="why")
            done = admin.training.RollbackTraining(request, timeout=SECONDS).rollback
            assert (done.round_number, done.reason, done.rollback_time.ToNanoseconds()) == (9, "REQUESTED", 7)
        assert asked == [("r00000001", "why"), ("r00000002", "why"), ("r00000001", "why")]
        assert done.source == "snapshots/r00000001"
        for name, reason in (("snapshots/r00000007", "SNAPSHOT_NOT_FOUND"), ("best", "NAME_INVALID")):
            with pytest.raises(grpc.RpcError) as caught:
                admin.training.RollbackTraining(RollbackTrainingRequest(snapshot=name), timeout=SECONDS)
            assert info_of(caught.value).reason == reason
        assert len(asked) == 3


def test_a_wish_counts_although_the_trainer_is_gone(house):
    here = house()
    with here.front(), here.stubs("admin.sock") as admin:
        admin.training.PauseTraining(PauseTrainingRequest(), timeout=SECONDS)
        assert here.boards.read("wishes").content["paused"] is True


@pytest.mark.parametrize(
    ("first", "request_", "reason"),
    [
        (True, PauseTrainingRequest(), "ALREADY_PAUSED"),
        (False, ResumeTrainingRequest(), "NOT_PAUSED"),
        (False, PauseTrainingRequest(note="x" * 257), "NOTE_TOO_LONG"),
        (False, PauseTrainingRequest(note="two\nlines"), "NOTE_INVALID"),
    ],
)
def test_what_does_not_fit_the_state_is_refused(house, first, request_, reason):
    here = house(trainer={"wake": dict})
    with here.front(), here.stubs("admin.sock") as admin:
        if first:
            admin.training.PauseTraining(PauseTrainingRequest(), timeout=SECONDS)
        call = (
            admin.training.PauseTraining
            if isinstance(request_, PauseTrainingRequest)
            else admin.training.ResumeTraining
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(request_, timeout=SECONDS)
        assert info_of(caught.value).reason == reason
        is_note = reason.startswith("NOTE_")
        assert caught.value.code() is (
            grpc.StatusCode.INVALID_ARGUMENT if is_note else grpc.StatusCode.FAILED_PRECONDITION
        )


def test_settings_that_may_change_are_taken_over_while_streams_run(house):
    here = house(patience_seconds=60.0)
    with here.front() as front:
        here.boards.write("settings", {"ingest.patience_seconds": 0.25, "service.log_level": "error"})
        eventually(lambda: front.config.ingest.patience_seconds == 0.25)
        eventually(lambda: front._log.level == "error")
