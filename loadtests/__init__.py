"""Load: Locust users that count loss by sequence number, and benchmarks with what they are compared to."""
