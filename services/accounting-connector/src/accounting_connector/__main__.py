"""`python -m accounting_connector` runs the service."""

from accounting_connector.main import main

main()
