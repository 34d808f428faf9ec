"""What `make bench` runs: the service beside the raw ceiling of its own parts, in the same minutes on the same machine.

Absolute figures drift from machine to machine and from hour to hour. So each figure is measured in rounds, ours and
the ceiling in turns, and what counts is the median of the rounds' ratios. docs/performance.md describes each figure.
"""
