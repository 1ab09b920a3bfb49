"""`python -m lab.campaign`. What is installed is imported when it is clear what is asked for."""

import sys

from lab.campaign import arguments

if __name__ == "__main__":
    given = arguments.parse()
    from lab.campaign.cli import main

    sys.exit(main(given))
