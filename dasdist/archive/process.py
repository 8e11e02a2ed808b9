"""A process that reads headers: ``python -m dasdist.archive.process``."""

from dasdist.archive.light_xdas import import_light_xdas

__all__: list[str] = []

if __name__ == "__main__":
    import_light_xdas()
    from dasdist.archive.reader import main

    main()
