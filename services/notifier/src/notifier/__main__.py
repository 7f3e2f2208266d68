"""`python -m notifier` runs the notifier."""

from notifier.main import main

main()
