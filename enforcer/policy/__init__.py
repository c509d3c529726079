"""Text → Policy: YAML with positions, registry rows, ceilings. No file, clock or socket."""
