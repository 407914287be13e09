"""Everything that a request to a shared server passes through, in order, before Streamlit sees it."""

from starlette.middleware import Middleware

from app.hosting.access import Access
from app.hosting.headers import SecurityHeaders
from app.hosting.messages import Messages
from app.hosting.uploads import Uploads


def guards(*, frames: str) -> list[Middleware]:
    """The guards, outermost first; `frames` is who may show the lab in a frame."""
    return [Middleware(SecurityHeaders, frames=frames), Middleware(Access), Middleware(Messages), Middleware(Uploads)]
