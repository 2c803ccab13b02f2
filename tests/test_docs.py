"""The documentation is true: its commands run, its reference is the code's, its links lead."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest

from doublet import __version__
from doublet.models import LASTING, MODELS
from doublet.refusal import Reason
from doublet.settings import SETTINGS, Settings, load_settings, settings_file
from tests.factories import Pipeline
from tests.server import DoubletProcess, free_port

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: its kind (`sh`, `sh background`, `sh make`, `sh install`, …) and text."""

    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(*found) for found in FENCE.findall(page.read_text("utf-8"))]


def _name(page: Path) -> str:
    return page.stem


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.kind == "sh" for block in blocks(page))],
    ids=_name,
)
def test_every_command_runs(page: Path, tmp_path: Path) -> None:
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DOUBLET_")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    environ["DOUBLET_PORT"] = str(port)
    data = f"--data={tmp_path / 'doublet-data'}"
    flags = [data, f"--port={port}"]
    for block in blocks(page):
        if block.kind == "toml faults":
            (tmp_path / "faults.toml").write_text(block.text)
            flags.append(f"--faults={tmp_path / 'faults.toml'}")
    # A page that starts no server itself speaks of one that runs.
    with DoubletProcess(tmp_path / "server", "serve", *flags) as server:
        server.wait_until(lambda: "is listening on" in server.stderr)
        for block in blocks(page):
            if block.kind == "sh background":
                has_faults = any(flag.startswith("--faults") for flag in flags)
                command = "doublet serve" + " --faults faults.toml" * has_faults
                assert command == block.text.strip()
        script = "\n".join(block.text for block in blocks(page) if block.kind == "sh")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace("8700", str(port))],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, f"{done.stdout}\n{done.stderr}"


def test_every_block_of_commands_is_of_a_known_kind() -> None:
    kinds = {block.kind for page in PAGES for block in blocks(page)}
    commands = {"sh", "sh background", "sh make", "sh install"}
    assert kinds <= commands | {"", "html", "toml", "toml faults", "python", "nginx", "caddy", "js"}


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = [
        line.split()[1]
        for page in PAGES
        for block in blocks(page)
        if block.kind == "sh make"
        for line in block.text.splitlines()
    ]
    assert {"run", "test"} <= set(named) <= set(targets)


def test_toml_in_the_docs_is_accepted(tmp_path: Path) -> None:
    texts = [block.text for page in PAGES for block in blocks(page) if block.kind == "toml"]
    assert texts
    for text in [*texts, settings_file()]:
        file = tmp_path / "doublet.toml"
        file.write_text(text)
        load_settings(environ={}, file=file)
    assert Settings() == load_settings(environ={}, file=file)


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for link in LINK.findall(page.read_text("utf-8")):
            target, _, anchor = link.partition("#")
            path = page.parent / target if target else page
            if "://" in link:
                continue
            if not path.exists():
                broken.append(f"{page.name}: {link}")
            elif anchor:
                titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
                broken += [] if anchor in anchors else [f"{page.name}: {link}"]
    assert [] == broken


def test_the_reference_is_what_the_code_says() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "reference.py")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    ).stdout
    assert made == (ROOT / "docs" / "reference.md").read_text("utf-8"), (
        "run: .venv/bin/python scripts/reference.py > docs/reference.md"
    )


def test_every_setting_says_what_it_does() -> None:
    assert [] == [setting.name for setting in SETTINGS if not setting.help.endswith(".")]


def test_every_column_of_the_models_is_described(tmp_path: Path) -> None:
    schema = tomllib.loads(files("doublet.models").joinpath("schema.toml").read_text("utf-8"))
    temporary = [model.name for model in MODELS if model.temporary]
    assert sorted([*temporary, *LASTING]) == sorted(schema)
    pipeline = Pipeline(tmp_path)
    for name in LASTING:
        found = [row["column_name"] for row in pipeline.engine.query(f"describe {name}")]
        assert ["about", *found] == list(schema[name])
    pipeline.close()


def test_every_address_is_documented() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    source = "\n".join(
        path.read_text("utf-8")
        for folder in ("web", "collect")
        for path in (ROOT / "doublet" / folder).glob("*.py")
    ) + (ROOT / "doublet" / "worker.py").read_text("utf-8")
    addresses = set(re.findall(r"Route\(\s*f?\"(/[^\"{]*)", source)) | {"/tr", "/px.js", "/health"}
    assert set() == {a for a in addresses if f"`{a.rstrip('/') or '/'}" not in text}


def test_the_table_of_refusals_has_each_number_that_events_are_refused_with() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    table = text.split("## What is refused")[1].split("\n\n")[1]
    told = set(re.findall(r"^\| (\d+(?: / \d+)?)", table, re.MULTILINE))
    rows = [reason.row for reason in Reason]
    known = {f"{row.code} / {row.subcode}" if row.subcode else f"{row.code}" for row in rows}
    # A wrong path, our own bugs, roles of users and limits of pages are no faults of events.
    assert known - {"2500", "1", "200", "4"} - of_audiences() == told


def of_audiences() -> set[str]:
    """The numbers of refusals that docs/audiences.md tells."""
    text = (ROOT / "docs" / "audiences.md").read_text("utf-8")
    told = set(re.findall(r"^\| (\d+(?: / \d+)?) \|", text, re.MULTILINE))
    assert {"2650", "2650 / 1870145", "100 / 1713098"} <= told
    return told


def test_version_and_changelog_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "## Unreleased" in changelog or f"## {__version__}" in changelog


@pytest.mark.slow
def test_the_package_holds_every_file_it_needs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "doublet", source / "doublet")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        metadata = next(name for name in packed if name.endswith("/METADATA"))
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "doublet").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set() == wanted - packed
