"""Pulumi and its plugins, built where they cannot be downloaded.

Owns the Go modules in its folders (`cli`, `langhost`, `libvirt`, `command`), their exact
versions, and the environment Pulumi runs in. Leaves the Pulumi program to `components/`
and the artefact cache to `artefacts/`.
"""
