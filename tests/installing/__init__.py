"""Installs the project as a stranger does, through pip; `.ci/run` alone runs these."""
