"""The only netlink: reading and committing what is ours. Nothing here decides policy."""
