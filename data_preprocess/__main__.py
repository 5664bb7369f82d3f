"""python -m data_preprocess {shapes,prepare,adopt,language,verify}: see --help of each."""

import sys

from .cli import main

sys.exit(main())
