"""`enforcer lab`: the product doing its job on real packets, in namespaces of its own."""
