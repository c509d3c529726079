"""What the fetcher needs of `enforcer.yaml`: its feeds, and no windows.

In: the file. Out: `Settings`, or PolicyError. A mistake in `windows.d` keeps no feed from coming.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enforcer.errors import PolicyError, Problem
from enforcer.policy.feed import Feed
from enforcer.policy.sections import read_main
from enforcer.policy.yamltext import read_yaml
from enforcer.sources.files import YAML_BYTES, where_from
from enforcer.sources.reading import read_whole, refusal


@dataclass(frozen=True, slots=True)
class Settings:
    """`config` is the absolute path of enforcer.yaml, `text` what it held."""

    config: Path
    text: bytes
    feeds: tuple[Feed, ...]
    categories: tuple[str, ...]
    shrink_limit: float

    def file(self, feed: Feed) -> Path:
        return self.config.parent / feed.file


def read_settings(config: Path) -> Settings:
    """Raises PolicyError."""
    try:
        text = read_whole(config, YAML_BYTES, guarded=True)
    except (OSError, ValueError) as error:
        why = refusal(error, config, where_from(config))
        raise PolicyError([Problem(str(config), 0, 0, "", why)]) from error
    document, problems = read_yaml(config.name, text)
    policy = None
    if document is not None:
        policy = read_main(document, problems).policy
    if policy is None or problems:
        raise PolicyError(sorted(problems))
    spec = policy.registry
    return Settings(config, text, spec.feeds, policy.categories, spec.shrink_limit)
