"""Drawing without replacement, with probability proportional to size, and the draw it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


def _no_rows() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True)
class Draw:
    """Candidates drawn for a batch, and the weights that undo the bias of the draw.

    Attributes:
        index: [B] int64, rows of the candidate set, each at most once; B = min(batch size, usable rows), or
            less where a method draws with replacement and repeats are merged.
        sample_weight: [B] float64, each > 0; (1/B) sum_b sample_weight_b g[index_b] estimates the mean
            gradient of the window. Whether without bias is said by the selector that made it.
        variance_ratio: variance of the batch gradient under uniform random selection over that under this
            draw, both in closed form (see `gain.py`); above 1 means that selection pays. None where the
            selector had no scores, or where both variances are zero.
        dropped: int64, rows whose scores were not finite; never drawn.
    """

    index: Tensor
    sample_weight: Tensor
    variance_ratio: float | None = None
    dropped: Tensor = field(default_factory=_no_rows)


def inclusion_probability(size: Sequence[float], count: int) -> list[float]:
    """Return the chance of each item to be among `count` drawn in proportion to size, each at most once.

        p_i = min(1, c size_i)   with c such that   sum_i p_i = min(count, number of items)

    Items too large for c size_i <= 1 are certain; what they cannot use goes to the others. Items of size
    zero share what is left when all the others are certain.

    Args:
        size: each finite and >= 0.
        count: items to draw, >= 0.

    References:
        C.-E. Saerndal, B. Swensson, J. Wretman, Model Assisted Survey Sampling, Springer 1992, section 3.6.

    Example:
        >>> inclusion_probability([6.0, 1.0, 1.0], count=2)
        [1.0, 0.5, 0.5]
    """
    descending = sorted(range(len(size)), key=size.__getitem__, reverse=True)
    # Sums from the small end: subtracting the large ones from a total would leave their rounding noise.
    rest = [0.0] * (len(size) + 1)
    for position in range(len(size) - 1, -1, -1):
        rest[position] = rest[position + 1] + size[descending[position]]
    slots = min(count, len(size))
    probability = [0.0] * len(size)
    certain = 0
    while slots > 0 and size[descending[certain]] * slots >= rest[certain] > 0:
        probability[descending[certain]] = 1.0
        certain += 1
        slots -= 1
    for position in range(certain, len(size)):
        item = descending[position]
        share = size[item] / rest[certain] if rest[certain] > 0 else 1 / (len(size) - certain)
        probability[item] = slots * share
    return probability


def draw_systematic(probability: Sequence[float], offset: float) -> list[int]:
    """Draw items so that item i is included with exactly its probability, spread evenly over the list.

    The items lie side by side on a line, each as long as its probability; the points offset, offset + 1,
    ... pick the items they fall on. Neighbours are rarely drawn together, so a list in which similar items
    are neighbours (ordered by class, say) is stratified for free.

    Args:
        probability: each in [0, 1], with an integer sum.
        offset: uniform in [0, 1).

    Returns:
        Positions in ascending order, as many as the probabilities sum up to.

    References:
        W. G. Madow, Ann. Math. Stat. 20 (1949) 333-354.

    Example:
        >>> draw_systematic([0.5, 0.5, 1.0, 0.25, 0.75], offset=0.6)
        [1, 2, 4]
    """
    drawn: list[int] = []
    # Certain items are one long and would be hit exactly once; rounding must not make it zero or two.
    uncertain = [position for position, p in enumerate(probability) if 0 < p < 1]
    count = round(sum(probability[position] for position in uncertain))
    end, point = 0.0, offset
    for position in uncertain:
        end += probability[position]
        # Rounding may put the end of the line a hair before or behind `count`; the number of draws stays.
        if end > point and len(drawn) < count:
            drawn.append(position)
            point += 1
    if len(drawn) < count:
        drawn.append(next(position for position in reversed(uncertain) if position not in drawn))
    return sorted(drawn + [position for position, p in enumerate(probability) if p >= 1])


@dataclass(frozen=True)
class Design:
    """The chances of a draw, before any is taken.

    Attributes:
        stratum: of each row; strata are drawn independently of each other.
        probability: inclusion probability of each row, > 0; they sum to an integer in each stratum.
    """

    stratum: tuple[int, ...]
    probability: tuple[float, ...]


def design_of(size: Sequence[float], stratum: Sequence[int], draws: Sequence[int]) -> Design:
    """Return the design that draws `draws[h]` rows of each stratum h in proportion to size.

    Args:
        size: of K rows, each finite and >= 0.
        stratum: [K], from 0 to H - 1.
        draws: [H], no more than the stratum has rows.

    Example:
        >>> design_of([3.0, 1.0, 5.0], stratum=[0, 0, 1], draws=[1, 1]).probability
        (0.75, 0.25, 1.0)
    """
    probability = [0.0] * len(size)
    for h, count in enumerate(draws):
        rows = [row for row, own in enumerate(stratum) if own == h]
        chances = inclusion_probability([size[row] for row in rows], count)
        for row, chance in zip(rows, chances, strict=True):
            probability[row] = chance
    return Design(tuple(stratum), tuple(probability))


def draw_rows(design: Design, group: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw rows as the design says, systematically in each stratum, ordered by group and at random within it.

    Args:
        design: the chances of K rows.
        group: [K] what similar rows have in common, the class for instance; all equal for a list in random
            order.
        generator: of the order and of one offset a stratum, on the CPU.

    Returns:
        [B] int64 rows.

    References:
        W. G. Madow, Ann. Math. Stat. 20 (1949) 333-354.

    Example:
        Two of six, ordered by group: one of each, whatever the chance.

        >>> design = design_of([1.0] * 6, stratum=[0] * 6, draws=[2])
        >>> row = draw_rows(design, group=[1, 0, 1, 0, 1, 0], generator=torch.Generator())
        >>> (row % 2).sort().values.tolist()
        [0, 1]
    """
    shuffled: list[int] = torch.randperm(len(group), generator=generator).tolist()
    lists: dict[int, list[int]] = {}
    for row in sorted(shuffled, key=group.__getitem__):
        lists.setdefault(design.stratum[row], []).append(row)
    offsets: list[float] = torch.rand(len(lists), dtype=torch.float64, generator=generator).tolist()
    drawn: list[int] = []
    for stratum, offset in zip(sorted(lists), offsets, strict=True):
        rows = lists[stratum]
        drawn += [rows[i] for i in draw_systematic([design.probability[row] for row in rows], offset)]
    return torch.tensor(drawn, dtype=torch.int64)


def temper(weight: Tensor, exponent: float) -> Tensor:
    """Return weight^exponent, scaled to the mean (mean weight)^exponent.

    Args:
        weight: [B] float64, each > 0.
        exponent: beta in [0, 1]; 1 leaves the weights as they are, 0 makes each of them 1.

    Example:
        >>> temper(torch.tensor([4.0, 1.0, 1.0]), 0.5).tolist()  # mean sqrt(2)
        [2.1213202476501465, 1.0606601238250732, 1.0606601238250732]
    """
    tempered = weight**exponent
    return tempered * (weight.mean() ** exponent / tempered.mean())


def check_exponent(exponent: float) -> None:
    """Raise ValueError unless the exponent of sample weights is in [0, 1].

    Example:
        >>> check_exponent(1.5)
        Traceback (most recent call last):
        ValueError: weight exponent: expected a number in [0, 1], got 1.5
    """
    if not 0 <= exponent <= 1:
        raise ValueError(f"weight exponent: expected a number in [0, 1], got {exponent}")
