"""`python -m lab.bench`. What is installed is imported when it is clear what is asked for."""

import sys

from lab.bench import arguments

if __name__ == "__main__":
    given = arguments.parse()
    from lab.bench.cli import main

    sys.exit(main(given))
