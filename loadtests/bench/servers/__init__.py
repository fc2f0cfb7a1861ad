"""What is measured: Wayguard, its peers, and the engines, started for it and stopped again."""
