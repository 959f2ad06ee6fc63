"""Decides which jobs get capacity, and explains why the other jobs do not have any yet."""
