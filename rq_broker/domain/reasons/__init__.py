"""Why a job waits, has no forecast or is in trouble: as values, and a sentence made of them."""
