"""`python -m lomit` is the command `lomit`."""

from __future__ import annotations

from lomit.cli import entry

if __name__ == "__main__":
    entry()
