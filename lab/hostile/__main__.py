"""`python -m lab.hostile`. What is installed is imported when it is clear what is asked for."""

import sys

from lab.hostile import arguments

if __name__ == "__main__":
    given = arguments.parse()
    from lab.hostile.cli import main

    sys.exit(main(given))
