"""Servers that stand beside the broker in tests, benches and trials: real ones, and small ones."""
