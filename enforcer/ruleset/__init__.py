"""Policy and active windows → an immutable Ruleset; its promises, its diff, its text. Pure."""
