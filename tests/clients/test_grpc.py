"""gRPC calls to a real core from TypeScript, and the programs in docs/grpc.md."""

import asyncio
import re
import shutil
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.clients.shop import Shop, environment, open_shop, run
from tests.optional_programs import needs

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "grpc-typescript"
GUIDE = ROOT / "docs" / "grpc.md"
pytestmark = pytest.mark.asyncio(loop_scope="module")


def program(language: str) -> str:
    """Return the guide's program in a language."""
    (found,) = re.findall(
        rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(found)


@pytest.mark.parametrize("language", ["python", "go", "java", "php"])
async def test_a_program_retries_what_the_guide_says(language: str) -> None:
    (item,) = re.findall(r"^2\. Retry (.*?)^3\. ", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    reasons = re.findall(r"(?:RETRYABLE|retryable)[^;}]*", program(language))[0]
    assert set(re.findall(r"[A-Z]+(?:_[A-Z]+)+|INTERNAL", reasons)) == set(
        re.findall(r"`([A-Z_]+)`", item)
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A core in plain text on loopback."""
    async with open_shop(tmp_path_factory.mktemp("clear")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tls_shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A core that requires mutual TLS."""
    async with open_shop(tmp_path_factory.mktemp("tls"), tls=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def built() -> Path:
    """The TypeScript client and the guide's program, generated, type-checked and compiled."""
    samples = CLIENT / "samples"
    samples.mkdir(exist_ok=True)
    (samples / "guide.ts").write_text(program("typescript"))
    shutil.rmtree(CLIENT / "dist", ignore_errors=True)
    run("npm", "run", "--silent", "build", cwd=CLIENT)
    return CLIENT / "dist"


async def output(*command: str, **variables: str) -> str:
    """Return the output of a program, which must succeed, while the core runs in this process."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment(variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 400)
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@needs("node", "npm:clients/grpc-typescript")
async def test_the_typescript_client_calls_a_core_in_plain_text_on_loopback(
    built: Path, shop: Shop
) -> None:
    await output("node", "--test", str(built / "test" / "core.test.js"), **shop.variables)


@needs("node", "npm:clients/grpc-typescript")
async def test_the_typescript_client_calls_a_core_with_mutual_tls(
    built: Path, tls_shop: Shop
) -> None:
    await output("node", "--test", str(built / "test" / "core.test.js"), **tls_shop.variables)


PRINTED = """charged 25.50
once true
CARD_DECLINED generic_decline
INVALID_FIELDS amount
healthy true
"""


@needs("node", "npm:clients/grpc-typescript")
async def test_the_typescript_program_of_the_guide_runs(built: Path, shop: Shop) -> None:
    assert await output("node", str(built / "samples" / "guide.js"), **shop.variables) == PRINTED


@needs("package index")
async def test_the_python_stubs_run_in_an_empty_environment(shop: Shop, tmp_path: Path) -> None:
    await output("make", "--silent", "-C", str(ROOT), "grpc-python")
    (wheel,) = (ROOT / "build" / "grpc-python").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert "nivisco/payments/v1/py.typed" in names
    assert [name for name in names if name.startswith("buf/") or "/internal/" in name] == []
    await output(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    await output(*pip, "install", "--quiet", str(wheel))
    readme = (ROOT / "clients" / "grpc-python" / "README.md").read_text()
    example = readme.split("```python\n")[1].split("```")[0]
    for sample, name in (
        ('"127.0.0.1:50051"', "NIVISCO_CORE"),
        ('"BUS-12345"', "NIVISCO_BUSINESS_ID"),
        ("api_key", "NIVISCO_API_KEY"),
    ):
        assert sample in example
        example = example.replace(sample, f"os.environ['{name}']")
    program = tmp_path / "example.py"
    program.write_text(f"import os\n{example}")
    printed = await output(python, "-I", str(program), **shop.variables)
    assert printed == f"{shop.variables['NIVISCO_BUSINESS_ID']}\n"


async def test_the_python_program_of_the_guide_runs(shop: Shop, tmp_path: Path) -> None:
    guide = tmp_path / "guide.py"
    guide.write_text(program("python"))
    assert await output(sys.executable, str(guide), **shop.variables) == PRINTED
