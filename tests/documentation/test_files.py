"""Tests that links, paths, pictures and examples in the documents exist."""

import json
import re
from pathlib import Path

import pytest
import yaml

import mqtt_http_bridge
from tests.documentation.pages import Page, code, every_page, page, pages, prose
from tests.support.places import ROOT

PACKAGE = Path(mqtt_http_bridge.__file__).parent
FOLDER = Path(__file__).parent
MOST_LINES_OF_THE_README = 150
PATH = re.compile(r"[\w-][\w./-]*(?:/|\.(?:example|html|md|py|sh|toml|yaml))")
"""A file, or a folder with a slash at its end, as the documents name them."""
MADE = {"damaged/", "dist/", "log/"}
"""Folders that are made by this program, and not in the repository."""
LINK = re.compile(r'(?:\]\(|src="|href=")([^)"\s]+)[)"]')
"""The target of a link or a picture."""


def anchors(text: str) -> set[str]:
    """The fragments by which the headings of a document can be linked to, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(text))
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def links(page: Page) -> list[tuple[Path, str]]:
    """The file and the fragment, if only "", of each link that stays in this repository."""
    targets = [target for target in LINK.findall(prose(page.text)) if "://" not in target]
    parted = [target.partition("#") for target in targets]
    return [
        ((page.path.parent / name).resolve() if name else page.path, fragment)
        for name, _, fragment in parted
    ]


@every_page
def test_links_and_pictures_lead_somewhere(page: Page) -> None:
    """The file is there, and so is the heading."""
    texts = {other.path: other.text for other in pages()}
    for path, fragment in links(page):
        assert path.exists(), f"{page.name}: {path} is not there"
        if fragment:
            assert fragment in anchors(texts[path]), f"{page.name}: no heading {path}#{fragment}"


def test_anchors_are_found() -> None:
    """A heading with code and punctuation has the fragment that GitHub gives it."""
    text = "# On a GX, over ssh\n## `check`: what's_up\n```\n# no heading\n```\n"
    assert anchors(text) == {"on-a-gx-over-ssh", "check-whats_up"}


def test_every_document_can_be_reached_from_the_readme() -> None:
    """Whoever starts with the README finds all of them, in one step."""
    linked = {path for path, _ in links(page("README.md"))}
    for other in pages():
        assert other.name == "README.md" or other.path in linked, f"expected a link to {other.name}"


def test_the_readme_is_a_page() -> None:
    """It is read in one go; all else stands in docs/."""
    assert len(page("README.md").text.splitlines()) <= MOST_LINES_OF_THE_README


def test_nothing_stands_twice() -> None:
    """A sentence, or a row of a table, is in one document; a command may be in several."""
    seen: dict[str, str] = {}
    for each in pages():
        flat = re.sub(r"(?<!\|)\n(?!\n|\||[-*] |\d\. )", " ", prose(each.text))
        for line in re.split(r"\n|(?<=[.:]) ", flat):
            if len(line) > 60 and not line.startswith("    "):
                twice = f"{each.name} repeats {seen.get(line)}: {line}"
                assert seen.setdefault(line, each.name) == each.name, twice


def paths_in(text: str) -> set[str]:
    """The files and folders that a text names between backticks."""
    paths = {span.partition("::")[0] for span in code(prose(text))}
    return {path for path in paths if PATH.fullmatch(path)}


@pytest.mark.parametrize(
    ("name", "count"),
    [("docs/architecture", 40), ("docs/guarantees", 15), ("CONTRIBUTING", 12)],
)
def test_every_path_in_a_document_exists(name: str, count: int) -> None:
    """A file that moves takes its station in the document along."""
    paths = paths_in(page(f"{name}.md").text)
    assert len(paths) > count
    for path in sorted(paths - MADE):
        # The tests may run beside the installed package, without its folder below the root.
        in_package = path.removeprefix(f"{PACKAGE.name}/")
        is_there = (PACKAGE / in_package).exists() or (ROOT / path).exists()
        assert is_there, f"{name}.md: {path} is not there"


def test_paths_are_found() -> None:
    """Files and folders are told from all else that stands between backticks."""
    told = "`core/venus/` `cli.py` `config.yaml.example`\n```\nno.py ` x\n```\n`app/`"
    other = "`/run/x/` `Pv/V` `handle(event)` `a b.py` cli.py"
    assert paths_in(told) == {"core/venus/", "cli.py", "config.yaml.example", "app/"}
    assert paths_in(other) == set()


def test_every_event_names_the_tests_that_show_it() -> None:
    """Tests by name, which exist: whoever doubts a row can run what holds it."""
    _, _, table = page("docs/guarantees.md").text.partition("## By event")
    rows = [row for row in table.splitlines() if row.startswith("| ") and "`tests/" in row]
    assert len(rows) > 20
    for row in rows:
        for named in code(row.split(" | ")[-1]):
            path, _, test = named.partition("::")
            assert f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), named


def test_every_document_that_the_code_names_exists() -> None:
    """A comment that sends the reader to a page sends nobody astray."""
    sources = [
        *PACKAGE.rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "service").iterdir(),
    ]
    for source in sources:
        if source.is_file() and source.parent != FOLDER:
            for page in re.findall(r"[\w/-]+\.md\b", source.read_text(encoding="utf-8")):
                name = page.rpartition("/current/")[2]
                assert (ROOT / name).is_file(), f"{source.name}: {page} is not there"


@every_page
def test_json_in_the_documents_is_json(page: Page) -> None:
    """An example can be copied and tried."""
    for example in re.findall(r"```json\n(.*?)```", page.text, re.DOTALL):
        json.loads(example)


def test_no_picture_is_large() -> None:
    """The pictures are small."""
    for picture in (ROOT / "docs").glob("*.png"):
        assert picture.stat().st_size < 150_000


def test_the_compose_file_runs_the_image_of_the_dockerfile() -> None:
    """Read-only, with the outbox in a volume, and with the image's own way to tell its health."""
    document = yaml.safe_load((ROOT / "docs/compose.yaml").read_text(encoding="utf-8"))
    (service,) = document["services"].values()
    assert (ROOT / "docs" / service["build"] / "Dockerfile").exists()
    assert service["read_only"] is True
    assert "healthcheck" not in service
    places = [volume.split(":")[1] for volume in service["volumes"]]
    assert places == ["/data", "/config/config.yaml"]
