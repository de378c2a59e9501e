"""The `lab` command: what a person does with a rack, and the local steps of the program.

Owns the commands and how their results look. Leaves what a rack is to `config/`, building to
`alpine/` and `labmachine/`.
"""
