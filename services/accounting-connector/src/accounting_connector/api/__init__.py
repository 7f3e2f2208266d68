"""The accounting connector's HTTP calls (contract.md section 2)."""
