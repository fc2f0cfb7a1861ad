"""What providers call: the states of messages and calls, keys pressed in a call, and texts that come back.

`form` reads a call, `choice` says which alert a text is about, `desk` decides what an answer means, `routes`
puts both onto an application, `words` answers.
"""
