"""Suspicious samples as clients see them: what the selector knows of each, in words. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from titan.v1 import sample_service_pb2 as samples_pb

Plain = Mapping[str, Any]
Reason = samples_pb.SuspectSample.Reason


def suspect_message(plain: Plain, labels: Sequence[str]) -> samples_pb.SuspectSample:
    """Return a suspect as it goes over the wire.

    Args:
        plain: a `titand.selection.suspects.Suspect` as plain data.
        labels: class names.
    """
    found = _of_twin(plain, labels) if plain["twin"] else _of_label(plain, labels)
    message = samples_pb.SuspectSample(
        name=f"samples/{plain['number']}",
        label=plain["label"],
        score=plain["score"],
        reasons=[reason for reason, _ in found],
        explanation="; ".join(text for _, text in found),
        duplicate_of=f"samples/{plain['twin']}" if plain["twin"] else "",
    )
    if (better := _better_label(plain)) is not None:
        message.suggested_label = better
    return message


def _better_label(plain: Plain) -> int | None:
    """Return the class that the model would have said, or the centroids; None where neither says another one."""
    for candidate in (plain["likeliest"], plain["nearest"]):
        if candidate not in (-1, plain["label"]):
            return int(candidate)
    return None


def _of_twin(plain: Plain, labels: Sequence[str]) -> list[tuple[Reason, str]]:
    twin, label = plain["twin"], plain["twin_label"]
    same = "labelled the same" if label == plain["label"] else f"which is labelled {labels[label]}"
    return [(Reason.REASON_NEAR_DUPLICATE, f"nearly the same as samples/{twin}, {same}")]


def _of_label(plain: Plain, labels: Sequence[str]) -> list[tuple[Reason, str]]:
    found = []
    if plain["likeliest"] != plain["label"] and plain["likelihood"] >= plain["class_confidence"]:
        text = f"the model says {labels[plain['likeliest']]} with {plain['likelihood']:.2f}, not {_own(plain, labels)}"
        found.append((Reason.REASON_LABEL_DISAGREES, text))
    text = f"loss {plain['loss']:.1f}, its class has {plain['class_loss']:.1f}"
    found.append((Reason.REASON_HIGH_LOSS, text))
    near = f", nearer to {labels[plain['nearest']]}" if plain["nearest"] >= 0 else ""
    text = f"{plain['distance']:.1f} standard deviations from its class{near}"
    found.append((Reason.REASON_FAR_FROM_CLASS, text))
    return found


def _own(plain: Plain, labels: Sequence[str]) -> str:
    return f"{labels[plain['label']]} ({math.exp(-plain['loss']):.2g})"
