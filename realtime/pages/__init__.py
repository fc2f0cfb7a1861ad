"""The web pages: the dispatcher's map and a shared journey, served as files built from `web/`."""
