"""The way out and the way in: everything an account owns as one file of lines, and such a file as part of an account.

What other tools have written comes in the same way: `sources` turns it into the same lines.
"""
