"""Replies: tokens of links, words of texts, keys pressed in a call."""
