"""Random queries that DataFlow and mongomock must answer alike."""
