"""The dashboard with a realistic scene in it: for its tests, its pictures and its figures."""
