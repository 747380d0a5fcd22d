"""The fault-injection test in its short form, and its seeds, schedule, failpoints and report."""

import ast
import asyncio
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.prove import forked_processes, later_mutations, mutations
from tests.prove.__main__ import SHORT_MUTANTS, read_minutes
from tests.prove.driver import TRIED_AGAIN, _retries_of
from tests.prove.failpoints import failpoints, transactions
from tests.prove.forked_processes import Stuck, within_patience
from tests.prove.gateway_faults import FAULTS
from tests.prove.mutants import MUTANTS
from tests.prove.plays import PLAYS
from tests.prove.report import Found, as_story, render
from tests.prove.scenario import ANY_MOMENT, Result, Scenario
from tests.prove.schedule import every_failpoint, every_pair
from tests.prove.triggers import trigger_of

ROOT = Path(__file__).parents[2]
SHORT_SECONDS_MAX = 480.0


def prove(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PROVE_")} | variables
    with subprocess.Popen(
        [sys.executable, "-m", "tests.prove", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=SHORT_SECONDS_MAX)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, printed)


def number_of(printed: str, row: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.startswith(row)]
    return line.removeprefix(row).split()[0]


def test_kills_at_every_failpoint_violate_nothing_and_mutants_are_caught() -> None:
    done = prove("--short", "--number", "1")
    assert done.returncode == 0, done.stdout
    for database in ("sqlite", "postgresql"):
        assert number_of(done.stdout, f"failpoints, {database}") == str(len(failpoints()))
    assert number_of(done.stdout, "mutants caught") == str(len(SHORT_MUTANTS))
    assert int(number_of(done.stdout, "connections cut")) > 0
    assert number_of(done.stdout, "double charges") == "0"


def test_a_seed_replays_one_scenario() -> None:
    seed = "sqlite:7:reset_after:gateway.charge.after,payments.write_outcome.before"
    done = prove(PROVE_SEED=seed)
    assert done.returncode == 0, done.stdout
    assert number_of(done.stdout, "scenarios") == "1"
    assert number_of(done.stdout, "ordered pairs, sqlite") == "1"


def test_a_violation_is_printed_with_its_seed_and_journal() -> None:
    seed = MUTANTS["new_gateway_key"].scenario("new_gateway_key", "sqlite", 1).seed
    done = prove(PROVE_SEED=seed)
    assert done.returncode == 1
    assert f"PROVE_SEED='{seed}' make prove" in done.stdout
    assert "double charge" in done.stdout
    assert "KILLED at gateway.charge.after" in done.stdout


@pytest.mark.parametrize(
    "seed", ["", "sqlite:1:none", "mysql:1:none:", "sqlite:x:none:", "sqlite:1:none:nowhere.after"]
)
def test_a_malformed_seed_is_refused(seed: str) -> None:
    with pytest.raises(ValueError, match=r"is not|names no|databases are"):
        Scenario.parse(seed)


def test_a_seed_describes_its_scenario_completely() -> None:
    for scenario in every_failpoint("postgresql", 5):
        assert Scenario.parse(scenario.seed) == scenario
        assert Scenario.parse(scenario.with_mutant("one_posting").seed).mutant == "one_posting"


def test_transaction_names_are_unique() -> None:
    assert len(transactions()) == len(set(transactions())) > 10


def test_every_failpoint_has_a_trigger() -> None:
    for point in [*failpoints(), ANY_MOMENT]:
        assert trigger_of(point).kind


def test_the_schedule_has_every_ordered_pair_of_failpoints_once() -> None:
    pairs = [
        pair
        for scenario in every_pair("sqlite", 3)
        for pair in zip(scenario.kills, scenario.kills[1:], strict=False)
    ]
    assert len(pairs) == len(set(pairs)) == len(failpoints()) ** 2
    assert {scenario.fault for scenario in every_pair("sqlite", 3)} == set(FAULTS)


def test_every_mutant_has_a_description_and_a_valid_scenario() -> None:
    assert len(MUTANTS) >= 20
    for name, mutant in MUTANTS.items():
        assert Scenario.parse(mutant.scenario(name, "sqlite", 1).seed).mutant == name
        assert mutant.bug


def test_every_play_exposes_a_mutant() -> None:
    assert {mutant.play for mutant in MUTANTS.values()} - {""} == {*PLAYS}


@pytest.mark.parametrize("module", [mutations, later_mutations])
def test_every_mutation_patches_an_existing_attribute(module: ModuleType) -> None:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "patch":
            owner, name = map(ast.unparse, node.args[:2])
            assert hasattr(eval(owner, vars(module)), ast.literal_eval(name)), name  # noqa: S307


@pytest.mark.parametrize("text", ["none", "0", "-1", "1e9", "nan"])
def test_minutes_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of minutes"):
        read_minutes(text)


def test_a_violation_or_an_uncaught_mutant_fails_the_run() -> None:
    found = Found()
    result = Result("seed", killed=[ANY_MOMENT], fault="none").__dict__
    found.add("sqlite", {"result": result, "log": []})
    assert found.holds
    escaped = Found()
    escaped.add("sqlite", {"mutant": "one_posting", "caught": ""})
    assert not escaped.holds
    assert "NOT CAUGHT one_posting" in render(
        escaped, seconds=1, processor_seconds=1, mutants_wanted=1
    )
    broken = Found()
    broken.add("sqlite", {"result": result | {"violations": ["lost: 1"]}, "log": []})
    assert not broken.holds
    assert broken.violations() == {"lost acknowledged effects": 1}


async def test_what_does_not_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked_processes, "PATIENCE_SECONDS", 0.0)
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(Stuck, match="waited 0 s for the client of core-1 to close"):
        await within_patience("the client of core-1 to close", never)


async def test_an_error_of_what_ends_is_not_taken_for_a_stuck_one() -> None:
    async def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await within_patience("the core to serve", fail())


@pytest.mark.parametrize(
    ("number", "kills"),
    [(7, "two.before,three.after"), (7 + 2 * TRIED_AGAIN, "three.after")],
)
def test_the_last_try_of_a_missed_kill_has_no_kill_before_it(number: int, kills: str) -> None:
    chain = ("one.before", "two.before", "three.after")
    scenario = Scenario("sqlite", number, "slow", chain)
    (again,) = _retries_of(scenario, Result(scenario.seed, missed=["three.after"]))
    assert ",".join(again.kills) == kills


def test_a_story_omits_repeated_lines() -> None:
    journal = [f"{10 + place}.0 core-1 gateway.charge.before" for place in range(9)]
    assert as_story(journal)[0] == "  0.000 core-1    gateway.charge.before"
    assert len(as_story(journal)) < len(journal)
