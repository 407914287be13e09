"""What `cmcore site` starts."""

import logging
from typing import Any

from streamlit import logger


def write_site(*arguments: Any, **choices: Any) -> Any:
    """:func:`app.site.build.write_site`, without what Streamlit remarks on caches that no server has made."""
    logger.set_log_level(logging.ERROR)
    from app.site.build import write_site as write

    return write(*arguments, **choices)
