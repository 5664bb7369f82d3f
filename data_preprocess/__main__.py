"""dghin data {shapes,prepare,adopt,language,verify}: see --help of each."""

import sys

from .cli import main

if __name__ == "__main__":  # the processes that draw masks import this file again
    sys.exit(main())
