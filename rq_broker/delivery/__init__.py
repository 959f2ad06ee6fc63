"""Callbacks out: claim, sign, POST, settle."""
