"""Speeds, always as a ratio to something measured in the same run, and the plain formulation they are compared with.

`lomit bench` runs `benchmarks.commands`; the other scripts are run from the root, such as
`python -m benchmarks.communication`.
"""
