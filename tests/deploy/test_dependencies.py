"""What we ship of others: the bill of materials, licences and known vulnerabilities."""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.deploy.audit import report
from tests.deploy.locked import installed, locked
from tests.optional_programs import ROOT

ALLOWED = (
    *("Apache-2.0", "Apache 2.0", "Apache License 2.0", "Apache Software License"),
    *("MIT", "MIT License", "MIT-0", "ISC", "PSF-2.0", "Python Software Foundation License"),
    *("BSD-2-Clause", "BSD-3-Clause", "3-Clause BSD License", "BSD License"),
    *("Public Domain", "Unlicense", "The Unlicense (Unlicense)"),
)
EXCEPTIONS = {
    "authorizenet": "Authorize.Net's own terms for its SDK, which are those of the gateway",
    "certifi": "MPL-2.0: unchanged, so that only its own files are under it",
    "pathspec": "MPL-2.0, and of the build only: it is not in the image",
    "python-stdnum": "LGPL-2.1 or later: imported as a library, unchanged",
}


def licences(distribution: Distribution) -> list[str]:
    """Return the licences that the metadata names, of which all hold, or with OR one."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return re.split(r" AND | OR ", metadata["License-Expression"])
    classifiers = [each for each in metadata.get_all("Classifier") or [] if "License ::" in each]
    if classifiers:
        return [each.rpartition(" :: ")[2] for each in classifiers]
    return (metadata.get_all("License") or ["unknown"])[:1]


@pytest.mark.parametrize("requirement", locked(), ids=lambda each: each.name)
def test_a_package_has_a_licence_that_allows_to_ship_it(requirement: Requirement) -> None:
    named = licences(installed(requirement))
    if requirement.name not in EXCEPTIONS:
        assert [each for each in named if each not in ALLOWED] == []
    else:
        assert any(each not in ALLOWED for each in named), "it needs no exception"


def test_every_exception_is_of_a_package_that_we_ship() -> None:
    assert EXCEPTIONS.keys() <= {each.name for each in locked()}


def test_the_bill_of_materials_has_each_line_of_the_lock(tmp_path: Path) -> None:
    recipe = re.search(r"^SBOM = (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    command = recipe[1].replace("$(BIN)", str(Path(sys.executable).parent)).split()
    made = tmp_path / "sbom.json"
    command += ["--no-validate", "-o", str(made)]  # `make sbom` does validate
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(made.read_text())
    listed = {each["purl"] for each in bill["components"]}
    lock = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert listed == {f"pkg:pypi/{name}@{version}" for name, version in lock}
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "nivisco")
    for component in bill["components"]:
        (archive,) = component["externalReferences"]
        assert all(each["alg"] == "SHA-256" for each in archive["hashes"])


def audited(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": [{"version": "1"} | each for each in dependencies]})


FOUND = {"name": "a", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("output", "said", "passes", "text"),
    [
        (audited({"name": "a", "vulns": []}), "", True, "1 of 1 packages checked, 0 known"),
        (audited(FOUND), "", False, "a 1: PYSEC-1, fixed in ['2']\n1 of 1 packages checked, 1"),
        (
            audited({"name": "a", "skip_reason": "not found"}),
            "",
            True,
            "not checked: the package index does not know vulnerabilities",
        ),
        (
            audited({"name": "a", "skip_reason": "not found"}, FOUND | {"name": "b"}),
            "",
            False,
            "b 1: PYSEC-1, fixed in ['2']\n1 of 2 packages checked",
        ),
        ("", "requests.exceptions.ConnectionError: refused", True, "not checked: no network"),
    ],
)
def test_the_audit_passes_without_network_and_fails_for_a_vulnerability(
    output: str, said: str, passes: bool, text: str
) -> None:
    passed, printed = report(output, said)
    assert passed is passes
    assert printed.startswith(text)


def test_a_vulnerability_that_is_accepted_does_not_fail() -> None:
    assert report(audited(FOUND), "", {"PYSEC-1": "a test"})[0]


def test_an_audit_that_broke_is_not_taken_for_one_without_network() -> None:
    with pytest.raises(RuntimeError, match="pip-audit failed: no such option"):
        report("", "no such option")
