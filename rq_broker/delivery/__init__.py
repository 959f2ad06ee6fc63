"""Callbacks out: claim what is due, sign it, POST it, settle what became of it."""
