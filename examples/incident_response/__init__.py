"""An application that turns failures of workflows into incidents and answers to them.

Events are ingested once each, whoever sends them again; they open incidents or count
them up; decisions and actions are recorded, and kill switches stop what is automatic.
"""
