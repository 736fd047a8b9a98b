"""One module a command: options, the work handed to the library, a line about what was written."""

from __future__ import annotations
