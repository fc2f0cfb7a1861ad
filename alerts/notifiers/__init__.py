"""The ways out, one file each: what a provider is told, and what its answer means."""
