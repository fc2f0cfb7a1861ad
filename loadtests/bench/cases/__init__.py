"""The benchmarks, one file each: what is measured, against what, and how it is judged."""
