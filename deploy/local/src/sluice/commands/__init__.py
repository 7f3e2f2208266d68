"""The commands of `sluice`, a module for each group (contract.md section 3)."""
