"""Contacts: validation and verification of addresses, and a preview of the escalation."""
