"""The XML inside a spreadsheet, read as a stream of events with nothing that XML can hide.

In: pieces of a document. Out: calls of three functions, with local names (the namespaces of the
two editions of ECMA-376 differ, the names do not). A document type is refused, and with it every
entity; so are deep nesting and single tags of more than a megabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from xml.parsers import expat

from enforcer.registries.zipped import SheetError

_DEEPEST = 64
_LARGEST_TAG = 1 << 20


def parse(
    pieces: Iterable[bytes],
    begin: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None],
    text: Callable[[str], None],
) -> None:
    """Raises SheetError, or what the functions raise."""
    parser = expat.ParserCreate("UTF-8", "|")
    parser.buffer_text = True
    inside: list[None] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        inside.append(None)
        if len(inside) > _DEEPEST:
            raise SheetError("has XML nested too deep; save it anew with a spreadsheet program")
        begin(name.rpartition("|")[2], attributes)

    def stop(name: str) -> None:
        inside.pop()
        end(name.rpartition("|")[2])

    def doctype(*_: object) -> None:
        raise SheetError("has an XML document type in it, which no spreadsheet has; do not open it")

    parser.StartElementHandler = start
    parser.EndElementHandler = stop
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    fed = 0
    try:
        for piece in pieces:
            parser.Parse(piece, False)
            fed += len(piece)
            if fed - parser.CurrentByteIndex > _LARGEST_TAG:
                raise SheetError("has an XML tag of more than 1 MB; save it anew")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        fact = f"has broken XML in it ({expat.ErrorString(error.code)})"
        raise SheetError(f"{fact}; fetch or save it anew") from None
