"""`python -m graphfix`."""

import sys

from graphfix.cli.main import main

sys.exit(main())
