"""What visitors had goes when they have left, and nobody need come for that."""

import weakref
from types import SimpleNamespace

from streamlit import runtime
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from app.hosting.memory import forget_lost_sessions, hand_back


class Session:
    """A session as far as it is stored: it refers to itself, as all of Streamlit's do."""

    def __init__(self, name):
        self.id, self.me, self.ended = name, self, False

    def shutdown(self):
        self.ended = True


def test_s8_the_last_sessions_go_though_nobody_comes_after_them(monkeypatch):
    storage = MemorySessionStorage(ttl_seconds=0)
    manager = WebsocketSessionManager(storage, None, None, None)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(_session_mgr=manager))
    assert not forget_lost_sessions()
    sessions = [Session(str(i)) for i in range(3)]
    for session in sessions:
        storage._cache[session.id] = SessionInfo(client=None, session=session)
    watched = [weakref.ref(session) for session in sessions]
    del session
    assert forget_lost_sessions()
    assert sessions[-1].ended
    sessions.clear()
    hand_back(collect=True)
    assert not any(session() for session in watched)
