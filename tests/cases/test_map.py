"""The map of cases names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_case_has_a_test_that_exists():
    lines = (Path(__file__).parent / "README.md").read_text(encoding="utf-8").splitlines()
    rows = {found[1]: line for line in lines if (found := re.match(r"\| ([AB]\d+b?) ", line))}
    assert len(rows) == 18 + 21
    missing = []
    for case, row in rows.items():
        named = re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", row)
        file = ROOT / named[1] if named else None
        if named is None or not file.exists() or f"def {named[2]}(" not in file.read_text(encoding="utf-8"):
            missing.append(case)
    assert not missing
