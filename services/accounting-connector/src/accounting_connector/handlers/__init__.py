"""Use cases of the accounting connector: load, decide, save and publish, in one transaction handed to them."""
