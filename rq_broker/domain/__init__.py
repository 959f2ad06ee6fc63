"""Values and rules, without any I/O."""
