"""The Pulumi resources of a rack, one component per file; `rack` composes them.

Owns which resources exist and what waits for what. Leaves every name, address and number to
`config/`, the inside of machines to `guest/`, and what scripts do to `equipment/`.
"""
