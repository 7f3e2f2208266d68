"""Servers that the system stands on: taken from the environment, from containers, or started as processes."""
