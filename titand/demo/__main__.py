"""python -m titand.demo."""

import sys

from titand.demo.demo import main

sys.exit(main())
