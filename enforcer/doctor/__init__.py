"""`enforcer doctor`: looks at a gateway and judges it; never changes it.

`look` reads, `trial` tries things in a network namespace of its own, and the rest judges values: in
go values, out come findings, so that each judgement has a test without the machine it is about.
"""
