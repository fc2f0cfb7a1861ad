"""Who may connect: tokens, sessions and share links checked against the store."""
