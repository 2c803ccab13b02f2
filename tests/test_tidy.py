"""The code base itself: layers, sizes, names, SQL that both engines read alike."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from doublet.models import TEXTS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "doublet"

LAYERS: tuple[tuple[str, ...], ...] = (
    # ground
    (
        "errors",
        "entries",
        "decoding",
        "countries",
        "redact",
        "phone",
        "normalize",
        "variants",
        "event",
        "refusal",
        "settings",
        "waiting",
    ),
    # substrate
    (
        "processes",
        "sqlite_file",
        "log",
        "lake",
        "engine",
        "catalog",
        "outbox",
        "deliveries",
        "health",
        "migrations",
        "rates",
    ),
    # logic
    (
        "accept",
        "rules",
        "pixel",
        "models",
        "person",
        "attribution",
        "reports",
        "lift",
        "delivery",
        "lookalikes",
        "products",
        "consent",
        "explain",
        "audiences",
        "alerts",
        "live",
        "refused",
        "destinations",
        "shops",
        "recipes",
        "guide",
        "reconcile",
    ),
    # edges
    ("collect", "graph", "web", "rounds", "backup", "relay", "client", "probe"),
    # what puts the edges together
    (
        "alerting",
        "audiencing",
        "decide",
        "delivering",
        "teaching",
        "likening",
        "guiding",
        "relaying",
        "deposit",
        "sending",
        "unmerging",
        "errands",
        "reconciling",
        "openapi",
        "worker",
        "ask",
        "ask_persons",
        "ask_refused",
        "ask_products",
        "ask_audiences",
        "giving",
        "ask_attribution",
        "replay",
        "faults",
        "serve",
        "demo",
        "order_import",
        "imports",
        "feeds",
        "ads",
        "cli",
        "__main__",
    ),
)
"""Modules by layer; imports go to the same layer or to one above it in this list."""

LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LONGER: dict[str, str] = {}
"""Modules and functions that are longer, each with its reason."""

BANNED_WORDS = re.compile(r"\b(FIXME|TODO|XXX|HACK)\b")
BANNED_FILES = {"utils", "helpers", "common", "misc", "base"}
BANNED_CLASSES = re.compile(r"(Manager|Handler|Processor|Data|Info|Obj)$")
WIRE_CLASSES = {"UserData", "CustomData"}

TESTS_OF_NO_MODULE = {
    *("tidy", "docs", "kill", "end_to_end", "sdk", "bench", "market", "deduplication"),
    *("quality", "users", "user_commands", "payload_page"),
}

BANNED_SQL = {
    "an aggregate with order by inside": (
        r"\b(list|array_agg|first|last|string_agg)\s*\([^()]*\border by\b"
    ),
    "arg_min or arg_max over nulls": r"\barg_(min|max)\b",
    "epoch_ms, epoch_us": r"\bepoch_(ms|us)\b",
    "to_days, to_hours": r"\bto_(days|hours)\b",
    "interval of a parameter": r"\binterval\s*\(",
    "asof join": r"\basof\b",
    "union by name": r"\bunion\s+(all\s+)?by\s+name\b",
    "hash": r"\bhash\s*\(",
    "select * with qualify": r"\bqualify\b",
}


def python_files(*folders: str) -> list[Path]:
    """All Python files of these folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """The path as people say it."""
    return str(path.relative_to(ROOT))


def part_of(path: Path) -> str:
    """The module or package directly below `doublet` that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """The parts of the package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "doublet":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("doublet."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("doublet."):
                    yield alias.name.split(".")[1]


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {part_of(path) for path in python_files("doublet")} - {"__init__"}
    named = [part for layer in LAYERS for part in layer]
    assert sorted(parts) == sorted(named)


def test_imports_go_downward_only() -> None:
    layer_of = {part: n for n, layer in enumerate(LAYERS) for part in layer}
    wrong = []
    for path in python_files("doublet"):
        part = part_of(path)
        if part == "__init__":
            continue
        for used in set(imports_of(path)) - {part, "__version__"}:
            upward = layer_of[used] > layer_of[part]
            across = layer_of[used] == layer_of[part] == 3
            if upward or across:
                wrong.append(f"{name_of(path)} imports {used}")
    assert [] == wrong


def test_no_two_parts_import_each_other() -> None:
    arrows = {
        (part_of(path), used)
        for path in python_files("doublet")
        for used in imports_of(path)
        if used != part_of(path)
    }
    assert [] == sorted(arrow for arrow in arrows if arrow[::-1] in arrows)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("doublet.collect.app", "duckdb deltalake pyarrow pyspark vl_convert jinja2 alembic typer"),
        (
            "doublet.decide.app",
            "duckdb deltalake pyarrow sklearn scipy jinja2 alembic typer",
        ),
        ("doublet.web", "scipy sklearn"),
        ("doublet.accept", "sqlalchemy granian httpx duckdb"),
        ("doublet.client", "duckdb deltalake pyarrow granian starlette sqlalchemy jinja2 typer"),
        ("doublet.cli", "duckdb deltalake granian starlette sqlalchemy vl_convert sklearn"),
    ],
)
def test_importing_loads_no_more_than_is_needed(module: str, absent: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({absent.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()


def test_modules_and_functions_are_short() -> None:
    long = {}
    for path in python_files("doublet", "tests", "bench"):
        text = path.read_text("utf-8")
        if (lines := text.count("\n")) > LINES_MAX:
            long[name_of(path)] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    long[f"{name_of(path)}:{node.name}"] = length
    assert {} == {name: length for name, length in long.items() if name not in LONGER}
    assert set(LONGER) == set(LONGER) & set(long), "LONGER names what is short by now"


def test_names_say_what_things_are() -> None:
    wrong = []
    for path in python_files("doublet"):
        if path.stem in BANNED_FILES:
            wrong.append(name_of(path))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name not in WIRE_CLASSES:
                wrong += [node.name] if BANNED_CLASSES.search(node.name) else []
    assert [] == wrong


def test_nothing_is_left_for_later() -> None:
    kinds = (".py", ".js", ".sql", ".css", ".html", ".md", ".toml")
    files = [p for folder in ("doublet", "bench", "docs") for p in (ROOT / folder).rglob("*")]
    marked = [
        name_of(path)
        for path in files
        if path.suffix in kinds and BANNED_WORDS.search(path.read_text("utf-8"))
    ]
    assert [] == marked


def test_every_public_name_has_a_docstring() -> None:
    bare = []
    for path in python_files("doublet"):
        tree = ast.parse(path.read_text("utf-8"))
        if not ast.get_docstring(tree) and tree.body:
            bare.append(name_of(path))
        inner = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
        for node in [*tree.body, *(statement for body in inner for statement in body)]:
            if (
                isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                bare.append(f"{name_of(path)}:{node.name}")
    assert [] == bare


def test_every_module_is_used() -> None:
    texts = {path: path.read_text("utf-8") for path in python_files("doublet")}
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    dead = []
    for path in texts:
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.stem in ("__init__", "__main__") or "migrations" in dotted:
            continue
        # Either by its dotted name, or by its own name from its package.
        package, _, name = dotted.rpartition(".")
        wanted = re.compile(
            rf"{re.escape(dotted)}\b|from {re.escape(package)} import (?:[^\n]*|\([^)]*)\b{name}\b"
        )
        others = (text for other, text in texts.items() if other != path)
        if not any(map(wanted.search, others)) and not wanted.search(pyproject):
            dead.append(name_of(path))
    assert [] == dead


def test_tests_are_named_for_modules() -> None:
    parts = {part for layer in LAYERS for part in layer}
    names = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert set() == names - parts - TESTS_OF_NO_MODULE


# --- SQL -------------------------------------------------------------------------------------

SQL = sorted(
    [
        *(PACKAGE / "models").glob("*.sql"),
        *(PACKAGE / "reports").glob("*.sql"),
        *(PACKAGE / "lift").glob("*.sql"),
        *(PACKAGE / "lookalikes").glob("*.sql"),
        *(PACKAGE / "live").glob("*.sql"),
        *(PACKAGE / "relay").glob("*.sql"),
        *(PACKAGE / "audiences").glob("*.sql"),
        *(PACKAGE / "products").glob("*.sql"),
        # The ledger's text makes tables of SQLite.
        *(path for path in (PACKAGE / "delivery").glob("*.sql") if path.stem != "ledger"),
    ]
)
"""The texts that every engine must read alike; loading is the lake's own affair."""


def _id(path: Path) -> str:
    return path.stem


def test_each_model_has_its_text_and_each_text_its_model() -> None:
    names = {path.stem for path in (PACKAGE / "models").glob("*.sql")}
    assert names == set(TEXTS)


@pytest.mark.parametrize("path", SQL, ids=_id)
def test_sql_is_lower_case_and_says_what_a_row_is(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("-- One row per ")
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    outside_quotes = re.sub(r"'[^']*'", "", code)
    assert outside_quotes == outside_quotes.lower()


@pytest.mark.parametrize("path", SQL, ids=_id)
def test_sql_avoids_what_engines_read_differently(path: Path) -> None:
    code = re.sub(r"--[^\n]*", "", path.read_text("utf-8"))
    found = [what for what, pattern in BANNED_SQL.items() if re.search(pattern, code)]
    assert [] == found


@pytest.mark.parametrize("path", SQL, ids=_id)
def test_sql_names_and_casts_every_output_column(path: Path) -> None:
    (tree,) = sqlglot.parse(path.read_text("utf-8"), dialect="duckdb")
    assert isinstance(tree, exp.Select)
    for column in tree.expressions:
        value = column.this if isinstance(column, exp.Alias) else column
        if isinstance(value, exp.Struct):
            fields = [field.expression for field in value.expressions]
            assert all(isinstance(field, exp.Cast) for field in fields), column.alias
        else:
            assert isinstance(value, exp.Cast), column.sql()
        assert isinstance(column, exp.Alias)
    assert not any(isinstance(star.parent, exp.Select) for star in tree.find_all(exp.Star))
