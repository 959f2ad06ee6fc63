"""Faults of real systems, made on purpose: servers, a proxy, a load, a judge, and the matrix."""
