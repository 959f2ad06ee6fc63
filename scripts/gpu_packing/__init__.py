"""How well policies pack the pods of the openb trace, see scripts/gpus.py."""
