"""The nine verbs, once: dictionaries in, dictionaries out."""
