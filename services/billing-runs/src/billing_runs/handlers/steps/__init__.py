"""What each step of a run does, in chunks of bounded size (domain.md section 5)."""
