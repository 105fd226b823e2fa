"""From annotated classes to frozen model specifications and mapped tables."""
