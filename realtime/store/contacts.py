"""Contacts: who is to be told of a driver's alert. What counts of them at a press is `circumstances`."""

from realtime.store.circumstances import Known, all_circumstances, circumstances, operator_of

__all__ = ["Known", "all_circumstances", "circumstances", "operator_of"]
