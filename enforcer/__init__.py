"""Keeps registered VPN traffic flowing through a gateway while the network is disrupted."""

__version__ = "0.1.0"
