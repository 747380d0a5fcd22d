"""How calls of gateways are counted."""

import asyncio
from typing import Any

import pytest

from core.gateways import gateway as g
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.events import Fact
from core.gateways.stripe.gateway import StripeGateway
from core.metrics import GATEWAY_CALL_SECONDS
from core.server.gateway_calls import OUTCOMES, VERBS, observe_calls


class FakeGateway:
    """Returns or raises what it is given."""

    async def charge(self, result: Any, name: str) -> Any:
        assert name == "N"
        if isinstance(result, BaseException):
            raise result
        return result


def counted(name: str) -> dict[tuple[str, str], float]:
    """Return how many calls of a gateway were counted, by verb and outcome."""
    (family,) = GATEWAY_CALL_SECONDS.collect()
    return {
        (sample.labels["verb"], sample.labels["outcome"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_count") and sample.labels["gateway"] == name
    }


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (g.Succeeded("t"), "succeeded"),
        (g.Declined(None, "c", "m"), "declined"),
        (g.NotSent("m"), "not_sent"),
        (g.Unknown("m"), "unknown"),
        ("anything", "ok"),
        (None, "ok"),
        (g.CardDeclined("m", "c"), "declined"),
        (g.CustomerMissing("m"), "customer_missing"),
        (g.ListTooLong("m"), "unknown"),
        (ValueError("a bug"), "error"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=lambda value: getattr(type(value), "__name__", ""),
)
async def test_a_call_is_counted_by_its_outcome_which_the_caller_gets(
    result: Any, outcome: str, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    gateway = FakeGateway()
    observe_calls(name, gateway)
    if isinstance(result, BaseException):
        with pytest.raises(type(result)):
            await gateway.charge(result, name="N")
    else:
        assert await gateway.charge(result, name="N") is result
    assert counted(name) == {("charge", outcome): 1}


def test_every_outcome_and_error_of_a_gateway_has_a_word() -> None:
    def errors_under(error: type[Exception]) -> set[type]:
        return {each for sub in error.__subclasses__() for each in {sub, *errors_under(sub)}}

    unions = {*g.ChargeOutcome.__args__, *g.RefundOutcome.__args__} - {Fact}
    assert set(OUTCOMES) == unions | errors_under(g.GatewayError)


def test_every_method_of_the_gateways_protocols_is_counted() -> None:
    protocols = (g.Gateway, g.SetsUpCards, g.TakesCardData)
    methods = {name for each in protocols for name in vars(each) if not name.startswith("_")}
    assert set(VERBS) == methods | {"complete_event"}
    for verb in VERBS:
        assert hasattr(StripeGateway, verb) or hasattr(AuthorizeGateway, verb)
