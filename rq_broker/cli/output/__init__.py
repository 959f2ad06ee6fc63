"""What the commands print: tables and sentences for people, one JSON object a line for programs."""
