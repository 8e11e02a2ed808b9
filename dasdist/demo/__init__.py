"""A demonstration that needs no download: synthetic archive, trained picker, one run.

The modules: `network` and `model` (the picker; `dasdist.training` made its weights) and `run` (the
demo itself). Nothing is imported here, so that loading the picker does not load the rest.
"""
