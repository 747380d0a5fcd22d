"""A model of wallets, holds, transfers, refunds and receivables: 64 writers and a killed core.

Hypothesis makes the plans, always the same ones unless CROWD_PLANS asks for more.
"""

import asyncio
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from rpc import client
from tests.prove.crowd import KINDS, USERS, WRITERS, Crowd, Plan, Step
from tests.prove.environment import Environment, running_environment

PLANS = int(os.environ.get("CROWD_PLANS", "1"))
SEED = int(os.environ.get("CROWD_SEED", "15"))
STEPS_EACH = 2
STEP = st.builds(
    Step,
    kind=st.sampled_from(KINDS),
    user=st.integers(0, USERS - 1),
    other=st.integers(1, USERS - 1),
    units=st.integers(1, 90),
)
STEPS = STEPS_EACH * WRITERS
PLAN = st.builds(
    Plan,
    steps=st.lists(STEP, min_size=STEPS, max_size=STEPS),
    kill_after=st.integers(STEPS // 4, STEPS // 2),
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all runs."""
    with asyncio.Runner() as started:
        yield started


@pytest.fixture(scope="module")
def environment(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    """A sandbox, and a fork server for cores."""
    directory = tmp_path_factory.mktemp("crowd")
    keyring = "k1:" + b64encode(secrets.token_bytes(32)).decode()
    stack = AsyncExitStack()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "RECONNECT_SECONDS", 0.3)
        started = running_environment(directory, "", keyring)
        environment = runner.run(stack.enter_async_context(started))
        yield environment
        runner.run(stack.aclose())
        runner.run(asyncio.sleep(0))  # lets closed connections end


def test_64_writers_and_a_killed_core_agree_with_the_model(
    runner: asyncio.Runner, environment: Environment, database_url: str
) -> None:
    @seed(SEED)
    @settings(
        max_examples=PLANS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(plan=PLAN)
    def run(plan: Plan) -> None:
        environment.new_journal()
        found = runner.run(Crowd(environment, plan).run())
        assert found == [], f"CROWD_SEED={SEED} CROWD_PLANS={PLANS}"

    runner.run(environment.use(database_url))
    try:
        run()
    finally:
        runner.run(environment.kill_core())
