"""What providers call: the states of messages and calls, keys pressed in a call, and texts that come back.

`form` reads a call, `desk` decides what it means, `routes` puts both onto an application, `words` answers.
"""
