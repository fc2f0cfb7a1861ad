"""The hub: channels, their members, what arrives for them, and who is slow."""
