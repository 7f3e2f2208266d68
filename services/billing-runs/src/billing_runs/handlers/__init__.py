"""The billing-runs service's use cases: load, decide, save and publish, in one transaction that they are handed."""
