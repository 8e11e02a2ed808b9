"""Models in folders, packs and repositories: where they lie, a cache of them, and their samples.

::

    files     what files of a model are called
    places    a folder, a pack, a URL: which files are there, and what they hold
    cache     what came from a URL, whole or not at all, for all processes of a user
    samples   a patch and the output that a model must give for it
    find      from a name to the files on this machine
"""
