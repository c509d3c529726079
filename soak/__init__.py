"""The soak: numbered packets through a gateway while it is broken on purpose, and each loss."""
