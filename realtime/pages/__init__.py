"""The web pages: the dispatcher's map and a shared journey, served as built files. Their sources are in `web/`."""
