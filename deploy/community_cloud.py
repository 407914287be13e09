"""The entry point for Streamlit Community Cloud: the lab with the limits of a shared server."""

import os
import sys
from pathlib import Path

os.environ.setdefault("CONSISTENCY_LAB_HOSTED", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if (_root := str(Path(__file__).parents[1])) not in sys.path:  # every rerun of the page comes by here
    sys.path.insert(0, _root)

from app.main import main

main()
