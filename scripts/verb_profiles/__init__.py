"""Where the time of a verb goes: what is carried out (`verbs`), and how it is shown (`report`)."""
