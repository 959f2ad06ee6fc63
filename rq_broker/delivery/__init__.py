"""Callbacks out: claim those due, sign them, POST them, settle their outcomes."""
