"""python -m titand.demo, which is what `titand demo` starts."""

import sys

from titand.demo.demo import main

if __name__ == "__main__":
    sys.exit(main())
