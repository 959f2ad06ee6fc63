"""Where callbacks may go."""
