"""The heavy parts of a training run on a Ray cluster, where an address is given.

The cluster's workers need this code, and the home folder on storage that all of them share.
"""
