"""Fleets: many gateways that hold one revision of policy and registry, kept in etcd."""
