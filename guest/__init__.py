"""What runs inside the machines of the rack.

Owns the initramfs init, the roles' files and the overlays. Leaves packing images to `alpine/`,
and knows nothing of Pulumi. `overlay` is what others import.
"""
