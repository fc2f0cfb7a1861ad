"""The HTTP side: one table of operations (`realtime.api.table`) is routes and OpenAPI document alike."""
