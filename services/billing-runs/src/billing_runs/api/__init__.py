"""The billing-runs service over HTTP (contract.md section 2)."""
