"""Alpine for the rack: the release tree, role images, kernel, initramfs and the USB stick.

Owns everything that is built from packages. Leaves what the machines do to `guest/`, which
machine gets which image to `config/` and `components/`, and knows nothing of the topology.
"""
