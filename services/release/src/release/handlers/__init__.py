"""Use cases of the release service: load, decide, save and publish, in one transaction that is handed to them."""
