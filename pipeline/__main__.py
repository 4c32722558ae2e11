"""`python -m pipeline` is the same as `loraql`."""

import sys

from pipeline.cli import main

sys.exit(main())
