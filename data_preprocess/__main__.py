"""dghin data {shapes,prepare,adopt,language,verify}: see --help of each."""

import sys

if __name__ == "__main__":  # the processes that draw masks import this file again
    try:
        from .cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # while modules are imported
        sys.stderr.write("stopped\n")
        sys.exit(130)
