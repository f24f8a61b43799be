"""The pages lead to files that exist, and each decision has a number of its own."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("deploy/*.md")])


def test_links_lead_to_files_and_headings() -> None:
    lost = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)", page.read_text()):
            file = (page.parent / target).resolve() if target else page
            if not file.exists():
                lost.append(f"{page.relative_to(ROOT)}: {target}")
            elif anchor and file.suffix == ".md" and anchor[1:] not in _anchors(file):
                lost.append(f"{page.relative_to(ROOT)}: {target}{anchor}")
    assert lost == []


def test_decisions_are_numbered_once_and_say_their_number() -> None:
    numbers = [file.name[:4] for file in sorted(DECISIONS.glob("*.md"))]
    assert len(set(numbers)) == len(numbers)
    wrong = [
        file.name for file in DECISIONS.glob("*.md") if not file.read_text().startswith(f"# {int(file.name[:4])}. ")
    ]
    assert wrong == []


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
