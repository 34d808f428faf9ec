"""The version: that of the newest release in CHANGELOG.md or, with unreleased changes, a development version after it.

`0.2.0.dev0` is the code on the way to 0.2.0; the release removes `.dev0`.
"""

VERSION = "0.2.0.dev0"
