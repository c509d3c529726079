"""How many examples hypothesis draws where one is dear: few at each commit, as many as you like
before a release, by ENFORCER_EXAMPLES, a factor (`make unit EXAMPLES=10`). Each run draws others.
"""

from __future__ import annotations

import os

from hypothesis import settings

FACTOR = float(os.environ.get("ENFORCER_EXAMPLES") or 1)


def examples(number: int) -> settings:
    return settings(max_examples=max(1, round(number * FACTOR)), deadline=None)
