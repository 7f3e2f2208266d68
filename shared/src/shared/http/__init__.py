"""The HTTP kit: every service's API answers, refuses, pages and signs in the same way (contract.md section 2)."""
