"""The benchmark of `make bench`: the service, and the raw ceiling of the libraries it is built on.

Absolute figures vary between machines and from hour to hour. So the service and the raw ceiling are measured in
alternating rounds on the same machine, and the main result is the median of the rounds' ratios. docs/performance.md
describes each figure.
"""
