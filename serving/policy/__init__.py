"""Scenes and rules: what a shop decides about its lists, as data; and how a list obeys them.

`load` and `folder` read the YAML files, `model` says what they may hold, `choose` makes a list
of a ranked sequence, `check` looks at the finished list again. For people: docs/scenes.md.
"""
