"""`sluice bench`: how fast the system is, each figure beside a limit that is measured in the same run."""
