"""How the application reads and writes its records; whoever opens the session commits."""

from incident_response.repositories.actions import ActionRepository
from incident_response.repositories.base import BaseRepository
from incident_response.repositories.decisions import DecisionRepository
from incident_response.repositories.events import EventRepository
from incident_response.repositories.incidents import IncidentRepository
from incident_response.repositories.kill_switches import KillSwitchRepository
from incident_response.repositories.tenants import TenantRepository
from incident_response.repositories.vendors import VendorRepository
from incident_response.repositories.workflows import WorkflowRepository

__all__ = [
    "ActionRepository",
    "BaseRepository",
    "DecisionRepository",
    "EventRepository",
    "IncidentRepository",
    "KillSwitchRepository",
    "TenantRepository",
    "VendorRepository",
    "WorkflowRepository",
]
