"""Files made by an earlier release, and tests that today's code reads them."""
