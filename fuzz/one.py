"""One target under atheris, until libFuzzer's flags say stop: `python -m fuzz.one TARGET FLAGS…`.

A process of its own, as libFuzzer ends the process it runs in.
"""

from __future__ import annotations

import logging
import sys
import warnings

import atheris

# Atheris leaks what instrumented code compares when that is an array (43 KB an execution): the
# columns of the registry are run, and not looked at for new paths.
COLUMNS = [
    *(f"enforcer.policy.registry_{part}" for part in ("chunks", "columns", "text")),
    "enforcer.lookup",
]

with atheris.instrument_imports(include=["enforcer"], exclude=COLUMNS):
    from fuzz.every import TARGETS


def main() -> None:
    name, *flags = sys.argv[1:]
    warnings.simplefilter("ignore")
    # What the daemon says of each bad request would be all that is to be seen.
    logging.disable()
    atheris.Setup([sys.argv[0], *flags], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
