"""Decides who gets capacity, and explains why the others do not have it yet."""
