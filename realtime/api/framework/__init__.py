"""The frame of the API: operations, shapes of bodies, errors, cursors, OpenAPI."""
