"""The release service's SQL: one typed function per statement; its docstring says what it locks."""
