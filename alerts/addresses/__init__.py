"""Addresses of people: phone numbers, typed text, and when two addresses are one."""
