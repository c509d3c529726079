"""Longest-prefix radix tree and the planner of hash stages. Pure."""
