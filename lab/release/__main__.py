import sys

from lab.release.cli import main

sys.exit(main())
