"""A `doublet demo` as a real process, for tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from tests.server import DoubletProcess, free_port, is_listening

SHOPPERS = 24
SECONDS = 4


class RunningDemo(DoubletProcess):
    """A `doublet demo` in `folder`/data on free ports, its addresses printed."""

    def __init__(self, folder: Path, *, shoppers: int = SHOPPERS) -> None:
        self.data = folder / "data"
        self.port, self.shop_port = free_port(), free_port()
        super().__init__(
            folder,
            "demo",
            *(f"--data={self.data}", f"--port={self.port}", f"--shop-port={self.shop_port}"),
            *(f"--shoppers={shoppers}", f"--seconds={SECONDS}"),
        )
        try:
            self.wait_until(lambda: "Ctrl-C stops everything" in self.stderr, what="addresses")
        except BaseException:
            self.kill()
            raise

    def address(self, title: str) -> str:
        """What is printed behind a title, in one piece."""
        found = re.search(rf"^  {title} +(\S+)$", self.stderr, re.MULTILINE)
        assert found, self.stderr
        return found[1]

    def wait_for_summary(self) -> dict[str, int]:
        """Visits, orders and blocked orders of the run, as the demo sums them up."""
        pattern = r"This run: (\d+) visits and (\d+) orders, (\d+) of them"
        (counts,) = self.wait_until(lambda: re.findall(pattern, self.stderr), what="the summary")
        return dict(zip(("visits", "orders", "blocked"), map(int, counts), strict=True))

    def is_listening(self) -> bool:
        """Whether anybody answers at one of its ports."""
        return is_listening(self.port) or is_listening(self.shop_port)

    def overview(self) -> dict[str, dict[str, Any]]:
        """The dashboard's figures, read with the printed token."""
        page = httpx.URL(self.address("Dashboard"))
        answer = httpx.get(page.copy_with(path="/overview.json"), timeout=30)
        assert 200 == answer.status_code, answer.text
        return {row["event_name"]: row for row in answer.json()}
