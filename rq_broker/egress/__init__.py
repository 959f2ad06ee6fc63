"""The rules for where callbacks may go: they parse URLs, classify addresses and open no socket."""
