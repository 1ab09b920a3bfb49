"""`python -m authz_sidecar` is `authz-sidecar`."""

import sys

from authz_sidecar.cli import main

sys.exit(main())
