"""The page behind the link in a message: what happened, who else knows, and a button to say "I am on it"."""
