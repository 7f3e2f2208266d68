"""The release service's HTTP calls (contract.md section 2)."""
