"""Use cases of the notifier: load, decide, save and publish, in one transaction that is handed to them."""
