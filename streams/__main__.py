"""Run the command line as `python -m streams`: the same as the installed command `lockstep`."""

from streams.cli.main import main

if __name__ == "__main__":
    main()
