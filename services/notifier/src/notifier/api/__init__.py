"""The notifier's HTTP calls (contract.md section 2)."""
