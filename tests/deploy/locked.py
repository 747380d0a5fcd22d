"""What requirements.lock has for this machine, and what is installed of it."""

import re
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement

from tests.optional_programs import ROOT


def locked() -> list[Requirement]:
    """Return the lines of the lock that count on this machine."""
    text = (ROOT / "requirements.lock").read_text()
    lines = re.findall(r"^([^ \n]+==[^\\\n]+)", text, re.MULTILINE)
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.marker is None or each.marker.evaluate()]


def installed(requirement: Requirement) -> Distribution:
    """Return what is installed here of a line of the lock, which must be that version."""
    found = distribution(requirement.name)
    assert requirement.specifier.contains(found.version), f"{requirement} is not {found.version}"
    return found
