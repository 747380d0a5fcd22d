"""What the documents promise about the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_setting_is_in_the_operating_guide() -> None:
    guide = (ROOT / "docs" / "operating.md").read_text()
    code = "".join(
        path.read_text()
        for folder in ("adapter", "cli", "core", "sandbox", "scheduler")
        for path in (ROOT / folder).rglob("*.py")
    )
    whole_names = r"NIVISCO_[A-Z_]*[A-Z](?![A-Z_])"  # not the beginning of several, NIVISCO_X_*
    settings = set(re.findall(whole_names, code))
    assert len(settings) > 15
    assert sorted(name for name in settings if f"`{name}`" not in guide) == []
