"""Tables and columns: created, checked and reflected."""
