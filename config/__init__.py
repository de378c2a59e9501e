"""What is to be built: the topology, and every name, address and number that follows from it.

Owns facts as frozen, validated data and pure functions. Leaves making anything to
`components/`; nothing here touches a machine, the network or Pulumi.
"""
