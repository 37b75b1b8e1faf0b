import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if target and not (page.parent / target).exists()]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_every_page_is_linked(page: Path) -> None:
    assert any(f"{page.name})" in other.read_text(encoding="utf-8") for other in PAGES if other != page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_included_files_are_there(page: Path) -> None:
    lines = re.findall(r"^ *-+8.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for line in lines:
        found = re.fullmatch(r'--8<-- "(.+)"', line)
        assert found, f"{line} includes nothing"
        assert (ROOT / found[1]).is_file()
    assert lines or page.name != "new-objective.md"
