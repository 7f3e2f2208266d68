"""How infrastructure tells what it does: one sentence at a time, to whoever started it."""

from collections.abc import Callable

Say = Callable[[str], None]
