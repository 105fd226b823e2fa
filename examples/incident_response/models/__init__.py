"""The tables of the application."""

from incident_response.models.actions import Action
from incident_response.models.decisions import Decision
from incident_response.models.events import Event
from incident_response.models.incidents import Incident
from incident_response.models.kill_switches import KillSwitch
from incident_response.models.tenants import Tenant
from incident_response.models.vendors import Vendor
from incident_response.models.workflows import Workflow

__all__ = [
    "Action",
    "Decision",
    "Event",
    "Incident",
    "KillSwitch",
    "Tenant",
    "Vendor",
    "Workflow",
]
