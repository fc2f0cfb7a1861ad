"""What people are told, in their language: one file a language, one function. Pure.

`render` makes every form of a message at once: text for SMS, mail, call and push. A new language is one file
beside ``en.py`` and one line in `language`; docs/WORDS.md is the recipe.
"""

from alerts.words.rendered import REPLIES, RenderedMessage, Replies, render

__all__ = ["REPLIES", "RenderedMessage", "Replies", "render"]
