"""Who must know, by when, and do they? The room of the alert engine.

Empty of code until the server can keep the promise that an SOS cannot be lost: an SOS that is taken and
then forgotten is worse than one that is refused.
"""
