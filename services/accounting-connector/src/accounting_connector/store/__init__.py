"""The accounting connector's SQL: one typed function per statement; its docstring says what it locks."""
