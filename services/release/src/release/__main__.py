"""`python -m release` runs the release service."""

from release.main import main

main()
