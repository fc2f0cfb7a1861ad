"""Measuring: rounds, processors, memory, histograms, baselines, and the tables and charts of results."""
