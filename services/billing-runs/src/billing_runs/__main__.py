"""`python -m billing_runs` runs the service."""

from billing_runs.main import main

if __name__ == "__main__":
    main()
