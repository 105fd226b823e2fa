"""An application that generates Splunk technology add-ons (TAs) on request.

Someone requests a TA and uploads log samples, someone else approves; revisions are
generated and validated, and every step is audited.
"""
