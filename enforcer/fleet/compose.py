"""A gateway's own sections in the fleet's `enforcer.yaml`: the file that its daemon reads.

In: two texts. Out: one. Sections are moved as they stand, comments and all, so that the operator
who opens the file, and the message that names a line of it, find what somebody wrote.
"""

from __future__ import annotations

import yaml

# What differs from gateway to gateway; everything else is the fleet's.
LOCAL = ("gateway", "links", "metrics")


class ComposeError(ValueError):
    """The texts do not make one file; the message says which one and why."""


def compose(shared: str, local: str, made_of: str) -> str:
    """The shared text with the sections `LOCAL` of the local one in place of its own.

    `made_of` is the comment on the first line. Raises ComposeError.
    """
    theirs = _sections("the fleet's file", shared)
    ours = _sections("the gateway's file", local)
    kept = [text for name, text in theirs.items() if name not in LOCAL]
    own = [ours[name] for name in LOCAL if name in ours]
    return "".join(f"{part.rstrip()}\n\n" for part in (f"# {made_of}", *kept, *own) if part.strip())


def _sections(which: str, text: str) -> dict[str, str]:
    """Each top-level key with its lines, up to the next key; what stands before the first is left
    out, as a directive of the file's own, and so is what ends the document.
    """
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ComposeError(f"{which} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise ComposeError(f"{which} is not keys, each on a line of its own")
    starts = [(key.value, key.start_mark) for key, _ in node.value]
    if any(mark.column for _, mark in starts) or len(dict(starts)) != len(starts):
        raise ComposeError(f"{which} has keys that are indented or there twice")
    lines = text.splitlines(keepends=True)
    # Behind the last one a line `...` may end the document.
    end = node.end_mark.line if node.end_mark.column == 0 else len(lines)
    ends = [*(mark.line for _, mark in starts[1:]), end]
    return {
        str(name): "".join(lines[mark.line : end])
        for (name, mark), end in zip(starts, ends, strict=True)
    }
