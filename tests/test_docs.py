"""The reference pages tell the truth: every setting, every state, every way of saying no."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from kasse.domain import order, session, transaction
from kasse.domain.refusals import REASONS
from kasse.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the rows of the table whose first column has this heading."""
    lines = (ROOT / "docs/reference" / page).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def steps(heading: str) -> dict[str, frozenset[str]]:
    """A table of states and what may come next; remarks in brackets are left out."""

    def names(cell: str) -> list[str]:
        return [name.strip() for name in re.sub(r"\([^)]*\)", "", cell).split(",") if name.strip()]

    return {state: frozenset(names(after)) for states, after in rows("states.md", heading) for state in names(states)}


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("draft", order.DRAFT_STEPS),
        ("order", order.ORDER_STEPS),
        ("state", {state.replace("_", " "): after for state, after in session.STEPS.items()}),
        ("status", transaction.STEPS),
    ],
)
def test_the_states_told_are_those_of_the_house(heading: str, table: Mapping[str, frozenset[str]]) -> None:
    assert steps(heading) == {
        state: frozenset(name if heading == "status" else name.replace("_", " ") for name in after)
        for state, after in table.items()
    }


def test_every_setting_is_described_and_every_one_described_exists() -> None:
    told = [name for cells in rows("settings.md", "name") for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(told) == sorted({*Settings.__struct_fields__})


def test_the_defaults_told_are_those_in_force() -> None:
    defaults = msgspec.structs.asdict(Settings())
    for cells in rows("settings.md", "name"):
        for number, name in enumerate(re.findall(r"`(\w+)`", cells[0])):
            told = re.findall(r"`([^`]+)`", cells[1])
            is_told = told[number] if told else cells[1]
            value = defaults[name]
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert float(is_told) == value, name
            else:
                assert is_told == (str(value).lower() if isinstance(value, bool) else value or _WITHOUT[name]), name


_WITHOUT = {name: "none" for name in Settings.__struct_fields__} | {"public_url": "follows host and port"}


def test_every_refusal_is_described_with_its_status_and_no_other_is() -> None:
    told = {cells[0].strip("`"): (int(cells[1]), cells[2].strip("`")) for cells in rows("errors.md", "keyword")}
    assert told == REASONS


def test_no_reason_is_left_that_nobody_gives() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py") if path.name != "refusals.py")
    assert [reason for reason in REASONS if f'"{reason}"' not in code] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target
