"""The reference pages tell the truth: every setting, every way of saying no."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from kasse.domain.refusals import REASONS
from kasse.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_every_setting_is_described() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    assert [name for name in Settings.__struct_fields__ if f"`{name}`" not in text] == []


def test_the_defaults_told_are_those_in_force() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    for name in ("token_lifetime", "key_rotation", "max_body", "workers", "log_level"):
        told = re.search(rf"^\| `{name}` \| `([^`]+)`", text, re.MULTILINE)
        assert told is not None, name
        assert told.group(1) == str(msgspec.structs.asdict(Settings())[name])


def test_every_refusal_is_described_with_its_status() -> None:
    text = (ROOT / "docs/reference/errors.md").read_text()
    for reason, (status, code) in REASONS.items():
        assert f"| `{reason}` | {status} | `{code}` |" in text, reason


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target
