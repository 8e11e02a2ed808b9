"""A demonstration that needs no download: synthetic archive, trained picker, one run.

The modules build on each other, lowest first: `physics` (earthquakes on a fibre),
`noise` (everything else a fibre records), `scene` and `synth` (both together, as archives),
`network` and `model` (the picker), `train` (how its weights were made) and `run`
(the demo itself). Nothing is imported here, so that loading the picker does not
load the rest.
"""
