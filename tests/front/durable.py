"""A house with a log of samples, and what it says of its state."""

from __future__ import annotations

from tests.front.house import SECONDS, House, config_in
from titan.v1.training_service_pb2 import Durability, GetTrainingRequest
from titand.runtime.arena import FILLED
from titand.runtime.image import image_of, logged_in

LOG_BYTES = 1 << 17


def house_in(folder, slot_count=256, log_bytes=LOG_BYTES, **ingest) -> House:
    """The memories of a daemon that has just started in a folder."""
    config = config_in(
        folder,
        durable=True,
        log_bytes=log_bytes,
        max_message_bytes=log_bytes // 4,
        **{"patience_seconds": 30.0, **ingest},
    )
    return House(config, slot_count)


def waiting(house: House) -> list[int]:
    """What the samples say that wait: batch_of gives each its sequence."""
    return [int.from_bytes(house.arena.sample(slot), "little") for slot in house.arena.slots_in(FILLED)]


def durability(stubs) -> Durability:
    """What the status says of the log."""
    return stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS).daemon.durability


def health_told(stubs) -> set[str]:
    """The codes of what needs attention, as a client is told."""
    return {item.code for item in stubs.training.GetTraining(GetTrainingRequest(), timeout=SECONDS).health}


def health(house: House) -> set[str]:
    """The same codes, as they stand on the board."""
    report = house.boards.read("front")
    return {item["code"] for item in report.content["health"]}


def checkpoint(house: House) -> bytes:
    """Play the trainer: take an image, and say that it is durable."""
    image = image_of(house.arena, with_samples=True)
    house.boards.write("trainer", {"checkpoint": {"sequence": logged_in(image)}})
    return image


def names_in(house: House) -> list[str]:
    """The files of the log."""
    return sorted(path.name for path in house.config.log_folder.iterdir())
