"""The background process: it grants, calls back, polls sources and expires jobs."""
