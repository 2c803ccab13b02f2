"""Merchant feeds as XML: RSS 2.0 and Atom, whose products' fields are in Google's namespace.

The reader holds one product at a time. It declares nothing and asks for nothing: a document type,
which entities that grow without bound or name files would need, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.parsers import expat

from doublet.errors import SenderError
from doublet.feeds.fields import is_known, name_of
from doublet.imports.files import Cells, Fault

_NAMESPACE = "http://base.google.com/ns/1.0"
_SPACES_OF_ITEMS = ("", "http://www.w3.org/2005/Atom", "http://purl.org/rss/1.0/")
_ITEMS = ("item", "entry")
_CHUNK_BYTES = 1 << 16
_DEPTH_MAX = 32
_TEXT_LENGTH_MAX = 1 << 16


class _Reader:
    """What the parser tells, as rows."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = _refuse_doctype
        self.parser.EntityDeclHandler = _refuse_doctype
        self.rows: list[Cells | Fault] = []
        self.items = 0
        self._depth = 0
        self._line = 0
        self._item_depth = 0
        self._values: dict[str, str] = {}
        self._own: set[str] = set()
        self._field = ""
        self._is_own = False
        self._text: list[str] = []
        self._length = 0

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise SenderError("Its elements are nested too deep.", "It is no product feed.")
        space, _, local = name.rpartition(" ")
        if not self._item_depth:
            if local in _ITEMS and space in _SPACES_OF_ITEMS:
                self._item_depth, self._line = self._depth, self.parser.CurrentLineNumber
                self._values, self._own = {}, set()
                self.items += 1
            return
        self._field = ""
        if self._depth == self._item_depth + 1:
            field = name_of(local)
            self._is_own = space == _NAMESPACE
            # In Atom an entry has an id of its own, the address of a page.
            fits = self._is_own or (space in _SPACES_OF_ITEMS and field != "id")
            if fits and is_known(field):
                self._field, self._text, self._length = field, [], 0
                if field == "link" and not self._is_own and attributes.get("href"):
                    self._text.append(attributes["href"])

    def _characters(self, text: str) -> None:
        if self._field:
            self._length += len(text)
            if self._length <= _TEXT_LENGTH_MAX:
                self._text.append(text)

    def _end(self, name: str) -> None:
        if self._field and self._depth == self._item_depth + 1:
            self._keep("".join(self._text).strip())
            self._field = ""
        elif self._item_depth and self._depth == self._item_depth:
            self.rows.append(Cells(self._line, self._values))
            self._item_depth = 0
        self._depth -= 1

    def _keep(self, text: str) -> None:
        """The first of several counts; one in Google's namespace before one that is not."""
        is_first = self._field not in self._values
        wins = self._is_own and self._field not in self._own
        if text and (is_first or wins):
            self._values[self._field] = text
            if self._is_own:
                self._own.add(self._field)


def _refuse_doctype(*_: Any) -> None:
    raise SenderError(
        "It declares a document type or entities, which no feed needs.",
        "Take the <!DOCTYPE …> out, and write &#160; or the character for &nbsp;.",
    )


def xml_rows(plain: BinaryIO) -> Iterator[Cells | Fault]:
    """The products of a feed; SenderError where it is no XML, or no feed."""
    reader = _Reader()
    is_last = False
    while not is_last:
        chunk = plain.read(_CHUNK_BYTES)
        is_last = not chunk
        try:
            reader.parser.Parse(chunk, is_last)
        except (expat.ExpatError, ValueError, LookupError) as error:
            line = reader.parser.CurrentLineNumber
            raise SenderError(
                f"It is no whole XML: {error if isinstance(error, expat.ExpatError) else line}.",
                "Mend that line, or have the shop make the feed again; & is written &amp;.",
            ) from error
        yield from reader.rows
        reader.rows.clear()
    if not reader.items:
        raise SenderError(
            "It holds no products: no <item> (RSS 2.0) and no <entry> (Atom).",
            "Give the feed that Merchant Center fetches.",
        )
