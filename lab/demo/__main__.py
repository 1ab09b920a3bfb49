"""`python -m lab.demo`. What is installed is imported when it is clear what is asked for."""

import sys

from lab.demo import arguments

if __name__ == "__main__":
    given = arguments.parse()
    from lab.demo.cli import main

    sys.exit(main(given))
