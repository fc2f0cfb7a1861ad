"""Tokens and what a token's bearer may do."""
