"""The billing-runs service's SQL: one typed function per statement; its docstring says what it locks."""
