"""The virtual lab machine: its disk image, its qemu process, its life.

Owns `.lab/machine` and nothing else on the user's machine. Leaves everything inside the
lab machine that belongs to a rack to the Pulumi program, which never imports this package.
"""
