"""The commands of `lab` by subject, each module a few of them.

Owns names, options and output. Leaves the work to the modules of `lab/`, errors to `lab.errors`.
"""
