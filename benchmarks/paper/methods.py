"""The methods that are compared: which filter goes before which selector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from titand.selection.selector import Selector, make_selector


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes:
        policy: of the selector, a name of `titand.selection.selector.POLICIES`.
        rule: of the coarse filter; None keeps the whole window, as the methods of others are defined.
        is_pipelined: whether selection runs beside training, on the accelerator. The others run one after the
            other, as in the paper.
        title: for tables.
    """

    policy: str
    rule: str | None = None
    is_pipelined: bool = False
    title: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether the exponent of the sample weights applies."""
        return self.policy in ("cis", "is")


METHODS: Mapping[str, Method] = {
    "rs": Method("rs", title="RS"),
    "stratified": Method("stratified", title="RS by class"),
    "is": Method("is", title="IS"),
    "ll": Method("ll", title="LL"),
    "hl": Method("hl", title="HL"),
    "ce": Method("ce", title="CE"),
    "ocs": Method("ocs", title="OCS"),
    "camel": Method("camel", title="Camel"),
    "gn-top": Method("gn-top", title="GN-top"),
    "cis": Method("cis", title="C-IS, whole window"),
    "titan": Method("cis", "stratified", True, "titan"),
    "titan-predicted": Method("cis", "predicted", True, "titan, predicted"),
    "titan-uniform": Method("cis", "uniform", True, "titan, uniform filter"),
    "titan-rep-div": Method("cis", "rep-div", True, "titan, Rep + Div"),
}


def selector_of(method: Method, beta: float = 1.0, least: float = 1e-6) -> Selector:
    """Return the selector of a method.

    >>> selector_of(METHODS["is"], 0.5)
    ISSelector(weight_exponent=0.5)
    """
    options = {"weight_exponent": beta} if method.has_weights else {}
    if method.policy == "cis":
        options["least_importance"] = least
    return make_selector(method.policy, **options)
