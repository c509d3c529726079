"""The registered set for the marking measure, in the languages of hardware routers. Pure."""
