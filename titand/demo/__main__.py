"""python -m titand.demo, which is what `titand demo` starts."""

import sys

if __name__ == "__main__":
    try:
        from titand.demo.demo import main
    except ModuleNotFoundError as error:
        sys.exit(f"titand demo needs {error.name}. Run: pip install 'titand[daemon,torch]' (on a Jetson without torch)")
    sys.exit(main())
