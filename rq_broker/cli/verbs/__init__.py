"""The commands that speak HTTP, a module for each family of calls."""
